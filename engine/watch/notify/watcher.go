package notify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"devstack/engine/watch"
)

// Watcher is a set of watched roots. One goroutine owns the index.
type Watcher struct {
	o      Options
	roots  []*root
	fs     *fsnotify.Watcher // nil: the kernel has none to give
	ids    map[fileID]string // the directories that it watches, by what they are
	limit  bool              // the limit on watches was reached
	scan   scanner
	state  *state
	out    chan watch.Batch
	ask    chan func()
	cancel context.CancelFunc
	done   chan struct{}

	anchors map[anchor][]*root
	dirty   map[string]suspect // real paths that events named
	lost    map[*root]suspect  // to be located again
	open    map[string]opened  // real paths that were reported and may be written without an event
	all     bool               // events were lost: look at everything
	burst   burst
	before  map[spot]entry // what changed paths were when they were reported last
	grew    bool           // there were new directories since the last look
	rescan  bool           // this burst is not of events alone
	initial bool
	ready   *prepared
	lastID  uint64

	told     map[string]bool // of directories that cannot be read
	hashing  []hashJob
	lastPoll time.Duration // how long it took
}

// suspect is a path to look at.
type suspect struct {
	since  time.Time // the first event
	last   time.Time
	waited bool // for somebody to close it
	deep   bool // it was created, renamed or removed: a directory may be another
}

// spot is a path of the index.
type spot struct {
	root *root
	rel  string
}

// prepared is a batch that nobody has taken yet.
type prepared struct {
	batch watch.Batch
	was   map[spot]entry
}

// eventBuffer is how many events wait here before they wait in the kernel.
const eventBuffer = 4096

// mostTold bounds the notices of directories that cannot be read.
const mostTold = 10

// Open reads the roots and watches them. It returns once everything is
// watched: from then on no change is missed. ctx ends the watcher, as Close
// does.
func Open(ctx context.Context, o Options) (*Watcher, error) {
	if o.Poll == 0 {
		o.Poll = time.Second
	}
	w := &Watcher{
		o: o, out: make(chan watch.Batch), ask: make(chan func()), done: make(chan struct{}),
		anchors: map[anchor][]*root{}, dirty: map[string]suspect{}, lost: map[*root]suspect{}, before: map[spot]entry{},
		open: map[string]opened{}, told: map[string]bool{},
	}
	w.scan = scanner{was: w.was, watch: w.watch, unwatch: w.unwatch, added: w.wasAdded, unreadable: w.unreadable}
	w.scan.since, w.scan.late = o.Since, w.late
	if real, err := filepath.EvalSymlinks(o.Base); err == nil && o.Base != "" {
		w.o.Base = real
	}
	for _, r := range o.Roots {
		w.roots = append(w.roots, &root{Root: r, fresh: true})
	}
	var err error
	if w.state, err = openState(o.State, w.roots); err != nil {
		return nil, err
	}
	w.connect()
	w.scan.now = time.Now()
	fresh := false
	for _, r := range w.roots {
		w.locate(r, false)
		if r.fresh {
			w.enqueue(r)
			r.fresh, fresh = false, true
		}
	}
	if fresh {
		w.state.save(w.roots, w.before)
	}
	if len(w.before) > 0 {
		w.initial, w.rescan = true, true
		w.burst.note(w.scan.now)
	}
	w.grew = false
	ctx, w.cancel = context.WithCancel(ctx)
	go w.run(ctx)
	return w, nil
}

// Batches gives the bursts in order; the first may be what changed while
// nobody watched. The channel is closed when the watcher ends. While a Batch
// is not taken further changes are added to it.
func (w *Watcher) Batches() <-chan watch.Batch { return w.out }

// Commit notes that the work of a batch is done. Batches may be committed in
// any order, and not at all: then their changes come again at the next Open.
func (w *Watcher) Commit(b watch.Batch) { w.state.commit(b.ID) }

// All are the paths that are watched, directories before what is in them: the
// index as of the last Batch.
func (w *Watcher) All() (paths []string) {
	w.do(func() {
		for _, r := range w.roots {
			r.top.walk("", func(rel string, _ entry) bool {
				paths = append(paths, r.shown(rel))
				return true
			})
		}
	})
	return paths
}

// Rescan looks at everything again, as after an overflow.
func (w *Watcher) Rescan() {
	w.do(func() { w.lose() })
}

// Close ends the watcher and waits for it.
func (w *Watcher) Close() error {
	w.cancel()
	<-w.done
	return w.state.close()
}

// do has the watcher's goroutine do something.
func (w *Watcher) do(f func()) {
	finished := make(chan struct{})
	select {
	case w.ask <- func() { f(); close(finished) }:
		<-finished
	case <-w.done:
	}
}

// connect begins to watch with the kernel's help.
func (w *Watcher) connect() {
	var err error
	w.ids, w.limit = map[fileID]string{}, false
	w.fs, err = fsnotify.NewBufferedWatcher(eventBuffer)
	if err != nil {
		w.fs, w.limit = nil, true
		w.notice("inotify is not available: "+err.Error()+"; files are compared in intervals, which is slower",
			"raise it: sysctl -w fs.inotify.max_user_instances=512")
	}
}

func (w *Watcher) notice(text, hint string) {
	if w.o.Notice != nil {
		w.o.Notice(Notice{Text: text, Hint: hint})
	}
}

// watch has the kernel watch a directory, if it can.
func (w *Watcher) watch(real string, d *dir) {
	d.watched = false
	info, err := os.Lstat(real)
	if w.fs == nil || err != nil {
		return // gone, for which there is an event
	}
	id := idOf(info)
	old, known := w.ids[id]
	if !known && w.o.MaxWatches > 0 && len(w.ids) >= w.o.MaxWatches {
		w.limited(real)
		return
	}
	if known && old != real && id != (fileID{}) {
		// It was moved, and the kernel has one watch for it, which fsnotify
		// knows by the old path and would drop with that.
		_ = w.fs.Remove(old)
	}
	if err := w.fs.Add(real); err != nil {
		if noSpace(err) {
			w.limited(real)
		}
		return // not readable, which is told where it is read
	}
	w.ids[id], d.id, d.watched = real, id, true
}

// limited says once that there are no more watches.
func (w *Watcher) limited(real string) {
	if w.limit {
		return
	}
	w.limit = true
	w.notice(fmt.Sprintf("the limit on inotify watches was reached at %s, after %d directories; the others are compared in intervals, which is slower", real, len(w.ids)),
		"raise it: sysctl -w fs.inotify.max_user_watches=524288 (and in /etc/sysctl.d to keep it), or ignore directories that need no watching")
}

// unreadable tells of a directory, once.
func (w *Watcher) unreadable(real string, err error) {
	if w.told[real] || len(w.told) >= mostTold {
		return
	}
	w.told[real] = true
	if p := new(fs.PathError); errors.As(err, &p) {
		err = p.Err
	}
	w.notice(fmt.Sprintf("cannot read %s: %v: what is in it is not watched", watch.Printable(real), err),
		"let the engine's user read it, or add it to the rule's ignore")
}

func (w *Watcher) unwatch(real string, d *dir) {
	if !d.watched {
		return
	}
	d.watched = false
	if w.ids[d.id] != real {
		return // it has another name by now, and is watched by that
	}
	for _, r := range w.roots { // one that leads here by a link
		if rel, ok := r.rel(real); ok {
			if o := r.dir(rel); o != nil && o != d && o.watched {
				return
			}
		}
	}
	delete(w.ids, d.id)
	if w.fs != nil {
		_ = w.fs.Remove(real) // it may be gone already
	}
}

// was notes what a path was before a change; the oldest counts.
func (w *Watcher) was(r *root, rel string, e entry) {
	if r.fresh {
		return
	}
	at := spot{r, rel}
	if _, ok := w.before[at]; !ok {
		w.before[at] = e
	}
}

// late takes a path that changed before it was watched.
func (w *Watcher) late(r *root, rel string) {
	if w.o.Late == nil || w.o.Late(r.shown(rel)) {
		w.before[spot{r, rel}] = entry{}
	}
}

func (w *Watcher) wasAdded() { w.grew = true }

// lose has everything looked at.
func (w *Watcher) lose() {
	w.all = true
	w.burst.paths += 100
	w.burst.note(time.Now())
}

// fail handles an error of the kernel's queue: whatever it is, events may be
// lost.
func (w *Watcher) fail(err error) {
	if !errors.Is(err, fsnotify.ErrEventOverflow) {
		w.notice("watching files: "+err.Error()+"; everything is looked at again", "")
	}
	w.lose()
}
