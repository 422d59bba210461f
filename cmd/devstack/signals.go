package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// errInterrupted is the cause of a context that Ctrl-C ended.
var errInterrupted = errors.New("interrupted")

// signals decides what Ctrl-C does. By default the first one ends the verb's
// context and the second one ends the process; a verb that knows better takes
// the signals over.
type signals struct {
	in     chan os.Signal
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	taken chan os.Signal
	done  chan struct{}
}

func watchSignals(cancel context.CancelCauseFunc) *signals {
	s := &signals{in: make(chan os.Signal, 4), cancel: cancel, done: make(chan struct{})}
	signal.Notify(s.in, syscall.SIGINT, syscall.SIGTERM)
	go s.run()
	return s
}

func (s *signals) run() {
	for {
		select {
		case <-s.done:
			return
		case sig := <-s.in:
			s.mu.Lock()
			taken := s.taken
			s.mu.Unlock()
			if taken == nil {
				s.cancel(errInterrupted)
				signal.Stop(s.in)
				continue
			}
			select {
			case taken <- sig:
			default: // nobody needs a fifth Ctrl-C
			}
		}
	}
}

// take hands the signals to the caller, until give.
func (s *signals) take(more ...os.Signal) <-chan os.Signal {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = make(chan os.Signal, 4)
	if len(more) > 0 {
		signal.Notify(s.in, more...)
	}
	return s.taken
}

// give goes back to the default.
func (s *signals) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = nil
}

func (s *signals) close() {
	signal.Stop(s.in)
	close(s.done)
}
