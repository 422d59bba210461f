package main

import (
	"context"
	"fmt"
	"sync"

	"devstack/engine/api"
)

// watchFiles begins what --watch asks for, and the keys of an `up` on a
// terminal. stop ends both.
func (s *session) watchFiles(ctx context.Context) (stop func(), err error) {
	w := &upWatch{s: s, ctx: ctx, refresh: func() {}}
	if w.req, err = watchRequest(s.e, s.req.Project, s.req.Services); err != nil && s.o.watch {
		return nil, err
	}
	w.req.Scale, w.req.Prune, w.req.Lock = s.req.Scale, true, s.req.Lock
	leave := s.menu(w)
	if s.o.watch {
		w.toggle()
		w.refresh()
	}
	return func() {
		leave()
		w.stop()
	}, nil
}

// upWatch is the watch of an `up` in the foreground, which a key turns on and
// off.
type upWatch struct {
	s   *session
	ctx context.Context
	req api.WatchRequest
	// refresh shows the state in the menu.
	refresh func()

	mu     sync.Mutex
	cancel context.CancelFunc // nil while it is off
	done   chan struct{}
}

func (w *upWatch) toggle() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cancel != nil {
		w.cancel()
		<-w.done
		w.cancel = nil
		return
	}
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan struct{})
	w.cancel, w.done = cancel, done
	go func() {
		defer close(done)
		if err := w.s.e.follow(ctx, w.s.c, w.req, false); err != nil && ctx.Err() == nil {
			w.s.e.explain(err)
		}
	}()
}

func (w *upWatch) on() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cancel != nil
}

func (w *upWatch) stop() {
	if w.on() {
		w.toggle()
	}
}

// restart restarts the services that `up` started; rebuild builds them anew.
func (w *upWatch) restart() { w.act("restart", w.s.restart) }
func (w *upWatch) rebuild() { w.act("rebuild", w.s.rebuild) }

func (w *upWatch) act(what string, fn func(context.Context) error) {
	go func() {
		if err := fn(w.ctx); err != nil && w.ctx.Err() == nil {
			w.s.e.explain(fmt.Errorf("%s: %w", what, err))
		}
	}()
}

func (s *session) restart(ctx context.Context) error {
	return s.lines(func(emit func(api.Message)) error {
		return s.c.Restart(ctx, api.ServiceRequest{Name: s.req.Project.Name, Project: s.req.Project, Services: s.req.Services}, emit)
	})
}

func (s *session) rebuild(ctx context.Context) error {
	return s.lines(func(emit func(api.Message)) error {
		req := s.req
		req.Build, req.ForceRecreate = true, false
		req.Wait, req.WaitTimeout = false, 0
		_, err := s.c.Up(ctx, req, emit)
		return err
	})
}
