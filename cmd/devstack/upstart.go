package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"devstack/cmd/devstack/render"
	"devstack/engine/api"
)

// outcome of the first part of a session, until everything is up.
type beginning int

const (
	isUp beginning = iota
	wasInterrupted
	wasAborted // a container ended that --abort-on-... means
)

// start carries out the request. The logs are shown from the first container's
// start on. An interrupt, or an exit that ends the session, cancels it.
func (s *session) start(ctx context.Context, interrupts <-chan os.Signal) (api.UpResult, beginning, error) {
	up, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		result api.UpResult
		err    error
	}
	done := make(chan answer, 1)
	d := &sharedDisplay{s: s, display: closeOnce(s.e.display("up")), started: make(chan struct{})}
	go func() {
		result, err := s.c.Up(up, s.req, quietly(d.message, s.o.quietPull, s.o.quietBuild))
		d.display.Close()
		done <- answer{result, err}
	}()
	started := d.started
	for {
		select {
		case <-started:
			started = nil
			s.attachTo(s.expected())
			s.followFrom(ctx)
		case a := <-done:
			return a.result, isUp, a.err
		case <-interrupts:
			cancel()
			<-done
			return api.UpResult{}, wasInterrupted, nil
		case <-s.abort:
			cancel()
			<-done
			return api.UpResult{}, wasAborted, nil
		}
	}
}

// followFrom shows the log in the background.
func (s *session) followFrom(ctx context.Context) {
	s.followed = s.background(func() error { return s.follow(ctx) })
}

// expected are the containers whose logs will be shown, by their short names.
func (s *session) expected() (names []string) {
	p := s.req.Project
	for _, service := range s.attach {
		declared := p.Services[service]
		if declared.ContainerName != "" {
			names = append(names, shortName(p.Name, declared.ContainerName))
			continue
		}
		n, scaled := s.req.Scale[service]
		if !scaled {
			n = declared.Replicas()
		}
		for i := range n {
			names = append(names, fmt.Sprintf("%s-%d", service, i+1))
		}
	}
	slices.Sort(names)
	return names
}

// sharedDisplay is the progress of an `up` until containers begin to write: a
// live tree and logs do not share the screen.
type sharedDisplay struct {
	s       *session
	display render.Display
	started chan struct{} // closed when the first container runs
	once    sync.Once
	over    bool // the tree has ended; what fails is still told
}

func (d *sharedDisplay) message(m api.Message) {
	p := m.Progress
	if !d.over {
		emitTo(d.display)(m)
	} else if m.Notice != nil || p != nil && p.State == api.Failed {
		d.s.line(m)
	}
	if p == nil || p.Text != "Started" || !strings.HasPrefix(p.ID, "Container ") {
		return
	}
	d.once.Do(func() {
		if d.s.e.progressMode() == render.ModeTTY {
			d.display.Close()
			d.over = true
		}
		close(d.started)
	})
}

// line shows a message as a line of its own.
func (s *session) line(m api.Message) {
	_ = s.lines(func(emit func(api.Message)) error { // it returns what it is given: nil
		emit(m)
		return nil
	})
}
