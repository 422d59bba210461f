package solve

import (
	"context"
	"sync"
)

// sharing lets builds that want one step share the work, as package flight
// does for images. Here the work also keeps what the build holds that began
// it: it may go on when that build is cancelled and others wait.
type sharing struct {
	mu   sync.Mutex
	work map[string]*shared

	going sync.WaitGroup
}

type shared struct {
	done   chan struct{}
	rec    Record
	err    error
	cancel context.CancelFunc

	waiting int // guarded by sharing.mu

	watchMu  sync.Mutex // held while lines are told: nobody is told after it left
	watchers map[*func([]byte)]struct{}
}

// do runs fn for key unless that is under way, and waits for it. Its context
// ends when nobody waits any more; do returns only after fn has, if it was the
// last to wait.
func (s *sharing) do(ctx context.Context, key string, held *holdings, watch func([]byte), fn func(context.Context, func([]byte)) (Record, error)) (Record, error) {
	s.mu.Lock()
	w := s.work[key]
	if w == nil {
		wctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		w = &shared{done: make(chan struct{}), cancel: cancel, watchers: map[*func([]byte)]struct{}{}}
		if s.work == nil {
			s.work = map[string]*shared{}
		}
		s.work[key] = w
		held.take()
		s.going.Go(func() {
			defer cancel()
			w.rec, w.err = fn(wctx, w.tell)
			held.release()
			s.forget(key, w)
			close(w.done)
		})
	}
	w.waiting++
	w.watch(&watch, true)
	s.mu.Unlock()
	select {
	case <-w.done:
		return w.rec, w.err
	case <-ctx.Done():
	}
	w.watch(&watch, false)
	if s.leave(key, w) {
		<-w.done
	}
	return Record{}, context.Cause(ctx)
}

func (s *sharing) forget(key string, w *shared) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.work[key] == w {
		delete(s.work, key)
	}
}

// leave ends the work after the last who waited; newcomers start afresh.
func (s *sharing) leave(key string, w *shared) (last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.waiting--; w.waiting > 0 {
		return false
	}
	if s.work[key] == w {
		delete(s.work, key)
	}
	w.cancel()
	return true
}

func (w *shared) watch(f *func([]byte), on bool) {
	w.watchMu.Lock()
	defer w.watchMu.Unlock()
	if on {
		w.watchers[f] = struct{}{}
	} else {
		delete(w.watchers, f)
	}
}

func (w *shared) tell(line []byte) {
	w.watchMu.Lock()
	defer w.watchMu.Unlock()
	for f := range w.watchers {
		(*f)(line)
	}
}
