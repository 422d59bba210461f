package supervise

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/state"
)

// settle is how long a container without a healthcheck must run before `up
// --wait` believes it: Compose looks for the first time after so long, and
// scripts rely on hearing of a program that cannot even start. Each time that
// the restart policy had to start it again it must run twice as long.
const settle = 500 * time.Millisecond

// maxRestarts is how many restarts by its policy a container may have during
// `up --wait`. By Docker's backoff they take 25 seconds: enough for a program
// that dies until its database is there, and an end for one that always dies.
const maxRestarts = 8

// AwaitReady waits until the services' containers run and are healthy, as
// `up --wait` wants it. Having exited with 0 will do for those that another
// service wants completed.
// The first service that cannot make it ends the wait for all.
func (p *Project) AwaitReady(ctx context.Context, services []string, emit func(api.Message)) error {
	declared, _ := p.Declared()
	all, failed := errgroup.WithContext(ctx)
	for _, name := range services {
		all.Go(func() error {
			p.tellReady(name, api.Working, "Waiting", emit)
			err := p.awaitReady(failed, name, wantsCompletion(declared, services, name))
			switch {
			case err == nil:
				p.tellReady(name, api.Done, "", emit)
				return nil
			case ctx.Err() != nil:
				return p.notInTime(name, context.Cause(ctx))
			}
			return p.explain(name, "", err)
		})
	}
	return all.Wait()
}

// tellReady reports on a service's containers; an empty text says what they
// have become.
func (p *Project) tellReady(service, state, text string, emit func(api.Message)) {
	for _, rec := range p.records(service) {
		word := text
		switch {
		case word != "":
		case rec.State == api.StateExited:
			word = "Exited"
		default:
			word = "Healthy" // Compose's word, with or without a healthcheck
		}
		emit(api.Message{Progress: &api.Progress{ID: "Container " + rec.Name, State: state, Text: word}})
	}
}

// wantsCompletion reports whether one of the services waits for the end of
// another.
func wantsCompletion(p *compose.Project, services []string, service string) bool {
	for _, name := range services {
		if d, ok := p.Services[name].DependsOn[service]; ok && d.Condition == compose.ConditionCompleted {
			return true
		}
	}
	return false
}

// notInTime says of a service's containers what keeps them from being ready.
func (p *Project) notInTime(service string, why error) error {
	for _, u := range p.ServiceUnits(service) {
		rec := u.Record()
		if ok, _ := ready([]state.Container{rec}, false); ok && unsettled([]state.Container{rec}, time.Now()) <= 0 {
			continue
		}
		text := fmt.Sprintf("container %s is not ready in time: %v: it is %s", rec.Name, why, u.condition(&rec))
		return p.explain(service, "", &brokenError{container: rec.Name, unhealthy: rec.Health != "", text: text})
	}
	return &api.Error{Service: service, Message: fmt.Sprintf("not ready in time: %v", why)}
}

// condition is a container's state in words.
func (u *Unit) condition(c *state.Container) string {
	words := c.State
	if c.State == api.StateRunning && c.Health != "" {
		words += " (" + c.Health + ")"
	}
	if c.Restarts > 0 || c.State == api.StateRestarting {
		u.mu.Lock()
		defer u.mu.Unlock()
		words += fmt.Sprintf(", restarts: %d, last exit code: %d", c.Restarts, u.code)
	}
	return words
}

// awaitReady waits for one service.
func (p *Project) awaitReady(ctx context.Context, service string, mayComplete bool) error {
	before := map[string]int{}
	for _, rec := range p.records(service) {
		before[rec.Name] = rec.Restarts
	}
	var recs []state.Container // as looked at last
	look := func() (bool, error) {
		recs = p.records(service)
		if err := loops(recs, before); err != nil {
			return false, err
		}
		return ready(recs, mayComplete)
	}
	for {
		if err := p.Await(ctx, look); err != nil {
			return err
		}
		left := unsettled(recs, time.Now())
		if left <= 0 {
			return nil
		}
		// Either it stays as it is for so long, or the next round says what became of it.
		steady, cancel := context.WithTimeout(ctx, left)
		err := p.Await(steady, func() (bool, error) {
			ok, err := look()
			return !ok, err
		})
		cancel()
		if err != nil && (steady.Err() == nil || ctx.Err() != nil) {
			return err
		}
	}
}

// loops is an error if one of the containers dies again and again.
func loops(recs []state.Container, before map[string]int) error {
	for i := range recs {
		c := &recs[i]
		if n := c.Restarts - before[c.Name]; n >= maxRestarts && c.State == api.StateRestarting {
			return &brokenError{container: c.Name, text: fmt.Sprintf("container %s exits again and again (%d), after %d restarts", c.Name, c.ExitCode, n)}
		}
	}
	return nil
}

// unsettled is how long it takes until the running containers without a
// healthcheck have settled.
func unsettled(recs []state.Container, now time.Time) (left time.Duration) {
	for i := range recs {
		if c := &recs[i]; c.State == api.StateRunning && c.Health == "" {
			need := min(settle<<min(c.Restarts, 10), stableRun)
			left = max(left, need-now.Sub(c.Started))
		}
	}
	return left
}

func ready(recs []state.Container, mayComplete bool) (bool, error) {
	for i := range recs {
		c := &recs[i]
		switch {
		case c.State == api.StateExited && (c.ExitCode != 0 || !mayComplete):
			return false, &brokenError{container: c.Name, text: fmt.Sprintf("container %s exited (%d)", c.Name, c.ExitCode)}
		case c.State == api.StateExited:
			continue
		case c.State != api.StateRunning || c.Started.IsZero():
			return false, nil // it runs when it executes its program
		case c.Health == api.HealthUnhealthy:
			return false, &brokenError{container: c.Name, unhealthy: true, text: fmt.Sprintf("container %s is unhealthy", c.Name)}
		case c.Health == api.HealthStarting:
			return false, nil
		}
	}
	return true, nil
}
