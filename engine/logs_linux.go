package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"devstack/engine/api"
	"devstack/engine/event"
	"devstack/engine/logs"
	"devstack/engine/supervise"
)

// Logs sends log lines. Lines of one container come in order; those of several
// are merged by time where the stream does not follow.
func (e *Engine) Logs(ctx context.Context, req api.LogsRequest, emit func(api.Message)) (struct{}, error) {
	p := e.known(req.Name)
	if p == nil {
		return struct{}{}, nil
	}
	for _, name := range req.Services {
		declared, _ := p.Declared()
		if _, ok := declared.Services[name]; !ok && len(p.ServiceUnits(name)) == 0 {
			return struct{}{}, &api.Error{Message: "no such service: " + name}
		}
	}
	l := &logStream{p: p, req: &req, emit: emit}
	if !req.Follow && !req.Attach {
		return struct{}{}, l.past(ctx)
	}
	return struct{}{}, l.follow(ctx, e.m.Events)
}

// logStream is one `logs` under way.
type logStream struct {
	p    *supervise.Project
	req  *api.LogsRequest
	emit func(api.Message)
}

func (l *logStream) wants(u *supervise.Unit) bool {
	switch {
	case u.OneOff() && !slices.Contains(l.req.Containers, u.Name()):
		return false
	case l.req.Index > 0 && u.Number() != l.req.Index:
		return false
	case len(l.req.Services) == 0 && len(l.req.Containers) == 0:
		return true
	}
	return slices.Contains(l.req.Services, u.Service()) || slices.Contains(l.req.Containers, u.Name())
}

func (l *logStream) filter() logs.Filter {
	return logs.Filter{Since: l.req.Since, Until: l.req.Until, Tail: l.req.Tail}
}

func (l *logStream) line(u *supervise.Unit, e logs.Entry) api.Message {
	name := fmt.Sprintf("%s-%d", u.Service(), u.Number())
	if rec := u.Record(); rec.OneOff || rec.Declared.ContainerName != "" {
		name = u.Name()
	}
	return api.Message{Log: &api.LogLine{
		Container: name, Service: u.Service(), Number: u.Number(), Stream: e.Stream, Time: e.Time,
		Text: strings.TrimRight(string(e.Text), "\r\n"),
	}}
}

// past sends what is there, merged by time.
func (l *logStream) past(ctx context.Context) error {
	type timed struct {
		at  time.Time
		msg api.Message
	}
	var all []timed
	for _, u := range l.p.Units() {
		j := u.Journal()
		if j == nil || !l.wants(u) {
			continue
		}
		err := j.Read(ctx, l.filter(), func(e logs.Entry) error {
			all = append(all, timed{e.Time, l.line(u, e)})
			return nil
		})
		if err != nil {
			return err
		}
	}
	slices.SortStableFunc(all, func(a, b timed) int { return a.at.Compare(b.at) })
	for _, t := range all {
		l.emit(t.msg)
	}
	return nil
}

// follow sends what is there and what comes, for containers that exist and
// those that will. It ends with ctx, at Until, or when nothing runs any more.
func (l *logStream) follow(ctx context.Context, events *event.Bus) error {
	if !l.req.Until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, l.req.Until)
		defer cancel()
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	restarts, stopRestarts := context.WithCancel(ctx)
	var restartsDone sync.WaitGroup
	defer restartsDone.Wait()
	defer stopRestarts()
	if l.req.Attach {
		restartsDone.Go(func() { l.followRestarts(restarts, events) })
	}
	seen := map[string]*following{} // by container id
	first := true
	err := l.p.Await(ctx, func() (bool, error) {
		active := l.p.Changing()
		for _, u := range l.p.Units() {
			if !l.wants(u) {
				continue
			}
			active = active || u.Active()
			run := u.Runs() + 1 // a container that never ran has a past, too
			last := seen[u.ID()]
			if last != nil && last.run == run || u.Journal() == nil || l.req.Attach && l.waits(u) {
				continue
			}
			f := l.filter()
			if !first || last != nil { // came later: wanted from its start
				f.Tail = -1
			}
			now := &following{run: run, done: make(chan struct{})}
			seen[u.ID()] = now
			wg.Go(func() {
				defer close(now.done)
				if last != nil { // started again: go on where the last run ended
					<-last.done
					now.end = last.end
				}
				f.From = &now.end
				l.followUnit(reading, u, f)
			})
		}
		first = false
		return !active, nil
	})
	if ctx.Err() != nil {
		return nil
	}
	wg.Wait() // nothing runs any more: every follower comes to its end
	return err
}

// following is one run of a container that is followed.
type following struct {
	run  int           // from 1
	done chan struct{} // closed when all of it was read
	end  logs.Position // valid then
}

// waits says of a container whose end will be told that its time is still to
// come: the `up` that this belongs to has not started it yet.
func (l *logStream) waits(u *supervise.Unit) bool {
	rec := u.Record()
	return !u.Active() && (rec.State == api.StateCreated || rec.Finished.Before(l.req.Since))
}

// followRestarts tells of exits after which the container starts again; the
// last one comes from followUnit, after the container's last line.
func (l *logStream) followRestarts(ctx context.Context, events *event.Bus) {
	events.Follow(ctx, event.Filter{Project: l.p.Name}, func(ev api.Event) error {
		if ev.Action == "die" && ev.Attributes["restarting"] == "true" {
			l.emit(api.Message{Event: &ev})
		}
		return nil
	})
}

// followUnit sends one container's lines until it will write no more.
func (l *logStream) followUnit(ctx context.Context, u *supervise.Unit, f logs.Filter) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.Follow = true
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		u.AwaitEnd(ctx)
	}()
	f.Stop = ended
	u.Journal().Read(ctx, f, func(e logs.Entry) error {
		l.emit(l.line(u, e))
		return nil
	})
	if l.req.Attach && ctx.Err() == nil {
		rec := u.Record()
		l.emit(api.Message{Event: &api.Event{
			Time: time.Now(), Type: "container", Action: "die", Project: l.p.Name, Service: u.Service(), Container: u.Name(), ID: u.ID(),
			Attributes: map[string]string{"exitCode": fmt.Sprint(rec.ExitCode)},
		}})
	}
}
