package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"devstack/cmd/devstack/render"
	"devstack/engine/api"
	"devstack/engine/api/client"
)

// session is an `up` in the foreground:
//
//	starting --> following --> all containers have exited: done
//	    |            |  |
//	    |            |  +-- a container exits, --abort-on-...: stopping
//	    +--Ctrl-C----+----> stopping --Ctrl-C--> killing --> done, 130
//
// The first container that runs begins the log: starting goes on beside it.
//
// The goroutine of follow alone writes the log; loop alone decides.
type session struct {
	e      *env
	c      *client.Client
	req    api.UpRequest
	o      *upOptions
	attach []string
	logs   *render.Logs
	muted  atomic.Bool // the logs are not shown
	began  time.Time   // the log is shown from here on

	followed chan error // the end of follow; nil before it began

	leave chan struct{} // a key asks for the end
	abort chan struct{} // a container's exit asks for the end
	code  int           // of the exit that --abort-on-... or --exit-code-from means
	first bool          // code is set by an abort
	from  bool          // code is set by --exit-code-from
}

func upAttached(ctx context.Context, e *env, c *client.Client, req api.UpRequest, o *upOptions, attach []string) error {
	s := &session{
		e: e, c: c, req: req, o: o, attach: attach, began: e.now(),
		abort: make(chan struct{}, 1), leave: make(chan struct{}, 1),
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	interrupts := e.signals.take()
	defer e.signals.give()

	result, how, err := s.start(ctx, interrupts)
	switch {
	case how == wasInterrupted:
		return s.teardown(ctx, interrupts)
	case how == wasAborted:
		return s.aborted(ctx, interrupts)
	case err != nil:
		return s.failed(err, cancel)
	}
	if s.followed == nil {
		s.announce(result.Containers)
		s.followFrom(ctx)
	}
	stop, err := s.watchFiles(ctx)
	if err != nil {
		return s.failed(err, cancel)
	}
	defer stop()
	return s.loop(ctx, interrupts)
}

// failed is the end of a session that did not come up: containers that run go
// on, their log is not followed any more.
func (s *session) failed(err error, cancel context.CancelFunc) error {
	cancel()
	if s.followed != nil {
		<-s.followed
	}
	return err
}

// announce says what the log shows: the containers of attached services.
func (s *session) announce(containers []api.Container) {
	var names []string
	for _, c := range containers {
		if slices.Contains(s.attach, c.Service) && !c.OneOff {
			names = append(names, shortName(c.Project, c.Name))
		}
	}
	slices.Sort(names)
	s.attachTo(names)
}

// attachTo makes the log writer for containers and names them.
func (s *session) attachTo(names []string) {
	style := s.e.style(s.e.stdout)
	if s.o.noColor {
		style = render.Plain
	}
	s.logs = render.NewLogs(s.e.stdout, s.e.stderr, render.LogOptions{
		Style: style, NoPrefix: s.o.noPrefix, Timestamps: s.o.timestamps, Split: true,
	}, names...)
	if len(names) > 0 && s.e.flags.progress != "quiet" {
		fmt.Fprintf(s.e.stdout, "Attaching to %s\n", strings.Join(names, ", "))
	}
}

// shortName is a container's name without its project: "web-1".
func shortName(project, name string) string {
	if short, ok := strings.CutPrefix(name, project+"_"); ok {
		return short
	}
	return strings.TrimPrefix(name, project+"-")
}

// loop follows the containers until they have all exited, a container's exit
// ends the session, or the user does.
func (s *session) loop(ctx context.Context, interrupts <-chan os.Signal) error {
	select {
	case err := <-s.followed:
		return s.outcome(err)
	case <-s.abort:
		return s.aborted(ctx, interrupts)
	case <-interrupts:
		return s.teardown(ctx, interrupts)
	case <-s.leave:
		return s.teardown(ctx, interrupts)
	}
}

// quit is Ctrl-C by another key.
func (s *session) quit() {
	select {
	case s.leave <- struct{}{}:
	default:
	}
}

// aborted stops everything because a container has ended.
func (s *session) aborted(ctx context.Context, interrupts <-chan os.Signal) error {
	s.say("Aborting on container exit...")
	stopped := s.background(func() error { return s.stop(ctx) })
	return s.finish(ctx, interrupts, stopped)
}

// teardown stops the containers after an interrupt; the next one kills them.
func (s *session) teardown(ctx context.Context, interrupts <-chan os.Signal) error {
	s.say("Gracefully Stopping... press Ctrl+C again to force")
	stopped := s.background(func() error { return s.stop(ctx) })
	if err := s.finish(ctx, interrupts, stopped); err != nil && !isExit(err) {
		return &exitError{code: exitInterrupted, err: err}
	}
	return exitWith(exitInterrupted)
}

func isExit(err error) bool {
	exit, ok := err.(*exitError)
	return ok && exit.err == nil
}

// finish waits for a stop under way and then for the last lines of the log. An
// interrupt kills the containers, one more ends the wait.
func (s *session) finish(ctx context.Context, interrupts <-chan os.Signal, stopped chan error) error {
	followed := s.followed
	for killed := false; ; {
		select {
		case err := <-stopped:
			if err != nil || followed == nil {
				return s.outcome(err)
			}
			stopped = nil
		case err := <-followed:
			if stopped != nil {
				followed = nil
				continue
			}
			return s.outcome(err)
		case <-interrupts:
			if killed {
				return exitWith(exitInterrupted)
			}
			killed = true
			stopped = s.background(func() error { return s.kill(ctx) })
		}
	}
}

func (s *session) background(fn func() error) chan error {
	done := make(chan error, 1)
	go func() { done <- fn() }()
	return done
}

func (s *session) outcome(err error) error {
	if err != nil {
		return err
	}
	return exitWith(s.code)
}

func (s *session) say(text string) {
	if s.e.flags.progress != "quiet" {
		fmt.Fprintln(s.e.stderr, text)
	}
}

// services are those that the session is about: what was asked for, and whose
// logs it shows. None means all.
func (s *session) services() []string {
	if len(s.req.Services) == 0 {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(s.req.Services, s.attach))))
}

func (s *session) stop(ctx context.Context) error {
	return s.lines(func(emit func(api.Message)) error {
		return s.c.Stop(ctx, api.ServiceRequest{
			Name: s.req.Project.Name, Project: s.req.Project, Services: s.services(), Timeout: s.req.Timeout,
		}, emit)
	})
}

func (s *session) kill(ctx context.Context) error {
	return s.lines(func(emit func(api.Message)) error {
		return s.c.Kill(ctx, api.ServiceRequest{
			Name: s.req.Project.Name, Project: s.req.Project, Services: s.services(), Signal: "SIGKILL",
		}, emit)
	})
}

// lines shows progress without a tree: the log goes on meanwhile.
func (s *session) lines(fn func(emit func(api.Message)) error) error {
	mode := s.e.progressMode()
	if mode == render.ModeTTY {
		mode = render.ModePlain
	}
	d := render.NewProgress(s.e.stderr, render.ProgressOptions{Mode: mode, Style: s.e.style(s.e.stderr), Now: s.e.now})
	defer d.Close()
	return fn(emitTo(d))
}

// follow shows the log from the beginning of this `up` and the ends of
// containers.
func (s *session) follow(ctx context.Context) error {
	p := s.req.Project
	services := s.services()
	if len(services) == 0 {
		services = p.ServiceNames()
	}
	return s.c.Logs(ctx, api.LogsRequest{
		Name: p.Name, Services: services, Follow: true, Attach: true, Tail: -1, Since: s.began,
	}, func(m api.Message) {
		switch {
		case m.Log != nil && s.muted.Load():
		case m.Log != nil && slices.Contains(s.attach, m.Log.Service):
			_ = s.logs.Line(*m.Log) // a closed stdout ends the program by SIGPIPE
		case m.Event != nil && m.Event.Type == "container" && m.Event.Action == "die":
			s.died(*m.Event)
		}
	})
}

// died handles the end of one container.
func (s *session) died(ev api.Event) {
	code, _ := strconv.Atoi(ev.Attributes["exitCode"])
	restarting := ev.Attributes["restarting"] == "true"
	if slices.Contains(s.attach, ev.Service) {
		text := fmt.Sprintf("exited with code %d", code)
		if restarting {
			text += " (restarting)"
		}
		s.logs.Status(shortName(ev.Project, ev.Container), text)
	}
	if restarting {
		return
	}
	if ev.Service == s.o.exitCodeFrom && !s.from {
		s.code, s.from = code, true
	}
	if s.first || !s.o.abortOnExit && !(s.o.abortOnFailure && code != 0) {
		return
	}
	s.first = true
	if s.o.exitCodeFrom == "" {
		s.code = code
	}
	s.abort <- struct{}{}
}
