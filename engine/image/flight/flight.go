// Package flight lets concurrent requests for one thing share the work. The
// work belongs to nobody in particular: it goes on until it ends or the last
// of those who wait for it has gone.
package flight

import (
	"context"
	"sync"
)

// Group is a set of works under way, each giving a T and telling its progress
// in Ps; the zero value is ready.
type Group[T, P any] struct {
	mu    sync.Mutex
	calls map[string]*call[T, P]
}

type call[T, P any] struct {
	done   chan struct{}
	val    T
	err    error
	cancel context.CancelFunc

	watchMu  sync.Mutex // held while watchers are called: none is after it left
	watchers map[*watcher[P]]struct{}
}

type watcher[P any] struct{ tell func(P) }

// Work does a thing and reports progress, from any goroutine.
type Work[T, P any] func(ctx context.Context, report func(P)) (T, error)

// Do runs work for key unless it is running already, and waits for it; watch
// (may be nil) hears the progress meanwhile, one report at a time, and must
// not block. The context of the work is cancelled when nobody waits any more;
// Do returns only after work has, if it was the last to wait.
func (g *Group[T, P]) Do(ctx context.Context, key string, watch func(P), work Work[T, P]) (T, error) {
	if watch == nil {
		watch = func(P) {}
	}
	w := &watcher[P]{watch}
	g.mu.Lock()
	c, ok := g.calls[key]
	if !ok {
		wctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		c = &call[T, P]{done: make(chan struct{}), cancel: cancel, watchers: map[*watcher[P]]struct{}{}}
		if g.calls == nil {
			g.calls = map[string]*call[T, P]{}
		}
		g.calls[key] = c
		go g.run(wctx, c, key, work)
	}
	c.join(w)
	g.mu.Unlock()
	select {
	case <-c.done:
		return c.val, c.err
	case <-ctx.Done():
	}
	if g.leave(c, w, key) {
		<-c.done
	}
	var zero T
	return zero, context.Cause(ctx)
}

func (g *Group[T, P]) run(ctx context.Context, c *call[T, P], key string, work Work[T, P]) {
	defer c.cancel()
	c.val, c.err = work(ctx, c.report)
	g.mu.Lock()
	if g.calls[key] == c {
		delete(g.calls, key)
	}
	g.mu.Unlock()
	close(c.done)
}

// leave takes one off those who wait and ends the work after the last;
// newcomers then start afresh.
func (g *Group[T, P]) leave(c *call[T, P], w *watcher[P], key string) (last bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.part(w) > 0 {
		return false
	}
	if g.calls[key] == c {
		delete(g.calls, key)
	}
	c.cancel()
	return true
}

func (c *call[T, P]) join(w *watcher[P]) {
	c.watchMu.Lock()
	defer c.watchMu.Unlock()
	c.watchers[w] = struct{}{}
}

func (c *call[T, P]) part(w *watcher[P]) (left int) {
	c.watchMu.Lock()
	defer c.watchMu.Unlock()
	delete(c.watchers, w)
	return len(c.watchers)
}

func (c *call[T, P]) report(p P) {
	c.watchMu.Lock()
	defer c.watchMu.Unlock()
	for w := range c.watchers {
		w.tell(p)
	}
}
