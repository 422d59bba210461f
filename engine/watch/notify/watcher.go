package notify

import (
	"context"
	"errors"
	"iter"

	"devstack/engine/watch"
)

// Watcher is a set of watched roots.
type Watcher struct {
	out chan watch.Batch
}

// Open reads the roots and watches them. It returns once everything is
// watched: from then on no change is missed. ctx ends the watcher, as Close
// does.
func Open(ctx context.Context, o Options) (*Watcher, error) {
	return nil, errors.ErrUnsupported
}

// Batches gives the bursts in order; the first may be what changed while
// nobody watched. The channel is closed when the watcher ends. While a Batch
// is not taken further changes are added to it.
func (w *Watcher) Batches() <-chan watch.Batch { return w.out }

// Commit notes that the work of a batch is done. Batches may be committed in
// any order, and not at all: then their changes come again at the next Open.
func (w *Watcher) Commit(b watch.Batch) {}

// All are the paths that are watched, directories before what is in them: the
// index as of the last Batch.
func (w *Watcher) All() iter.Seq[string] { return func(func(string) bool) {} }

// Rescan looks at everything again, as after an overflow.
func (w *Watcher) Rescan() {}

// Close ends the watcher and waits for it.
func (w *Watcher) Close() error { return nil }
