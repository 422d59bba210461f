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
// The goroutine of follow alone writes the log; loop alone decides.
type session struct {
	e      *env
	c      *client.Client
	req    api.UpRequest
	o      *upOptions
	attach []string
	logs   *render.Logs
	muted  atomic.Bool // the logs are not shown

	leave chan struct{} // a key asks for the end
	abort chan struct{} // a container's exit asks for the end
	code  int           // of the exit that --abort-on-... or --exit-code-from means
	first bool          // code is set by an abort
	from  bool          // code is set by --exit-code-from
}

func upAttached(ctx context.Context, e *env, c *client.Client, req api.UpRequest, o *upOptions, attach []string) error {
	s := &session{e: e, c: c, req: req, o: o, attach: attach, abort: make(chan struct{}, 1), leave: make(chan struct{}, 1)}
	interrupts := e.signals.take()
	defer e.signals.give()

	began := e.now()
	result, err, interrupted := s.start(ctx, interrupts)
	if interrupted {
		return s.teardown(ctx, interrupts, nil)
	}
	if err != nil {
		return err
	}
	s.announce(result.Containers)
	stop, err := s.watchFiles(ctx)
	if err != nil {
		return err
	}
	defer stop()
	return s.loop(ctx, interrupts, began)
}

// start carries out the request; the first interrupt cancels it.
func (s *session) start(ctx context.Context, interrupts <-chan os.Signal) (api.UpResult, error, bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		result api.UpResult
		err    error
	}
	done := make(chan answer, 1)
	go func() {
		var a answer
		a.err = s.e.progress("up", func(emit func(api.Message)) (err error) {
			a.result, err = s.c.Up(ctx, s.req, quietly(emit, s.o.quietPull, s.o.quietBuild))
			return err
		})
		done <- a
	}()
	select {
	case a := <-done:
		return a.result, a.err, false
	case <-interrupts:
		cancel()
		<-done
		return api.UpResult{}, nil, true
	}
}

// announce makes the log writer and says what it shows.
func (s *session) announce(containers []api.Container) {
	var names []string
	for _, c := range containers {
		if slices.Contains(s.attach, c.Service) && !c.OneOff {
			names = append(names, shortName(c.Project, c.Name))
		}
	}
	slices.Sort(names)
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
func shortName(project, name string) string { return strings.TrimPrefix(name, project+"-") }

// loop follows the containers until they have all exited, a container's exit
// ends the session, or the user does.
func (s *session) loop(ctx context.Context, interrupts <-chan os.Signal, began time.Time) error {
	followed := make(chan error, 1)
	go func() { followed <- s.follow(ctx, began) }()
	select {
	case err := <-followed:
		return s.outcome(err)
	case <-s.abort:
		s.say("Aborting on container exit...")
		stopped := s.background(func() error { return s.stop(ctx) })
		return s.finish(ctx, interrupts, stopped, followed)
	case <-interrupts:
		return s.teardown(ctx, interrupts, followed)
	case <-s.leave:
		return s.teardown(ctx, interrupts, followed)
	}
}

// quit is Ctrl-C by another key.
func (s *session) quit() {
	select {
	case s.leave <- struct{}{}:
	default:
	}
}

// teardown stops the containers after an interrupt; the next one kills them.
func (s *session) teardown(ctx context.Context, interrupts <-chan os.Signal, followed chan error) error {
	s.say("Gracefully Stopping... press Ctrl+C again to force")
	stopped := s.background(func() error { return s.stop(ctx) })
	if err := s.finish(ctx, interrupts, stopped, followed); err != nil && !isExit(err) {
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
func (s *session) finish(ctx context.Context, interrupts <-chan os.Signal, stopped, followed chan error) error {
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

func (s *session) stop(ctx context.Context) error {
	return s.lines(func(emit func(api.Message)) error {
		return s.c.Stop(ctx, api.ServiceRequest{
			Name: s.req.Project.Name, Project: s.req.Project, Services: s.req.Services, Timeout: s.req.Timeout,
		}, emit)
	})
}

func (s *session) kill(ctx context.Context) error {
	return s.lines(func(emit func(api.Message)) error {
		return s.c.Kill(ctx, api.ServiceRequest{
			Name: s.req.Project.Name, Project: s.req.Project, Services: s.req.Services, Signal: "SIGKILL",
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
func (s *session) follow(ctx context.Context, began time.Time) error {
	p := s.req.Project
	services := s.req.Services
	if len(services) == 0 {
		services = p.ServiceNames()
	}
	services = slices.Compact(slices.Sorted(slices.Values(slices.Concat(services, s.attach))))
	return s.c.Logs(ctx, api.LogsRequest{
		Name: p.Name, Services: services, Follow: true, Attach: true, Tail: -1, Since: began,
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
