package supervise

import (
	"context"
	"strconv"
	"time"

	"devstack/engine/api"
	"devstack/engine/container"
	"devstack/engine/health"
	"devstack/engine/state"
)

// watch owns the unit's process from its start to the end of the run: it
// probes its health, takes its exit and starts it again as the restart policy
// says.
func (u *Unit) watch(r *run) {
	ctx := context.Background() // a run outlives the request that began it
	defer u.ended(r)
	policy := policyOf(&u.rec.Declared)
	for attempts := 0; ; attempts++ {
		began := time.Now()
		exit := u.attend(ctx, r, r.current(), began)
		// The kernel tells an exit once: it is on record before anything else.
		u.update(func(s *state.Run) { s.Exit = &state.Exit{Code: exit.Code, OOMKilled: exit.OOMKilled} })
		ran := time.Since(began)
		if policy.stable(ran) {
			attempts = 0
		}
		delay, again := policy.next(exit.Code, ran, attempts)
		// The end of another is no failure of its own.
		var of *container.Container
		follows := false
		if !again && !r.halted() {
			of, follows = u.diedWithPeer(ctx, exit)
		}
		again = (again || follows) && !r.halted()
		u.reap(ctx, r, exit, again)
		if !again {
			return
		}
		if follows && !u.untilHalted(ctx, r, func(ctx context.Context) bool { return u.awaitPeer(ctx, of) }) {
			u.update(func(s *state.Run) { s.State = api.StateExited })
			return
		}
		if !u.relaunch(ctx, r, delay) {
			return
		}
	}
}

// ended marks the end of a run: no process, and none that comes by itself.
func (u *Unit) ended(r *run) {
	u.mu.Lock()
	held := u.holds > 0
	if !held {
		u.ports = false
	}
	u.mu.Unlock()
	if !held { // who waits for the end may have them then
		u.m.warn(u.p.ClosePorts(u.rec.Declared))
	}
	close(r.ended)
	if held { // who held them may have let go before there was an end to see
		u.releasePorts()
	}
	u.p.notify()
	u.m.Idle()
	if u.rec.AutoRemove {
		go u.removeOnce()
	}
}

// relaunch waits out the delay and the service's conditions and starts the
// process again; false means that the run is over.
func (u *Unit) relaunch(ctx context.Context, r *run, delay time.Duration) bool {
	if !u.awaitTurn(ctx, r, delay) {
		u.update(func(s *state.Run) { s.State = api.StateExited })
		return false
	}
	r.launching.Lock()
	defer r.launching.Unlock()
	if r.halted() {
		u.update(func(s *state.Run) { s.State = api.StateExited })
		return false
	}
	u.update(func(s *state.Run) { s.Restarts++ })
	if err := u.launch(ctx, r); err != nil {
		u.failed(err)
		return false
	}
	u.emit("restart")
	go u.rejoinByItself(ctx)
	return true
}

// untilHalted is fn, or false when the run is told to end before.
func (u *Unit) untilHalted(ctx context.Context, r *run, fn func(context.Context) bool) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-r.halt:
			cancel()
		case <-ctx.Done():
		}
	}()
	return fn(ctx)
}

// awaitTurn waits out the delay, then for the service's conditions; false means
// that the run was told to end meanwhile.
func (u *Unit) awaitTurn(ctx context.Context, r *run, delay time.Duration) bool {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.halt:
		return false
	}
	return u.untilHalted(ctx, r, func(ctx context.Context) bool {
		return u.p.awaitAgain(ctx, &u.rec.Declared) == nil
	})
}

// attend waits for the process to exit and probes its health meanwhile.
func (u *Unit) attend(ctx context.Context, r *run, c *container.Container, began time.Time) container.Exit {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	exited := make(chan container.Exit, 1)
	go func() {
		exit, err := c.Wait(ctx)
		switch {
		case err != nil:
			exit = u.m.exitElsewhere(c, err)
		case u.m.Guard != nil:
			u.m.Guard.Forget(c.PID(), c.StartTime()) // it may have seen the same
		}
		exited <- exit
	}()
	check, ok := health.Effective(u.rec.Image.Config.Healthcheck.Compose(), u.rec.Declared.Healthcheck)
	if !ok {
		return <-exited
	}
	return u.attendHealth(ctx, c, check, began, exited)
}

// attendHealth is attend for a container with a healthcheck.
func (u *Unit) attendHealth(ctx context.Context, c *container.Container, check health.Check, began time.Time, exited <-chan container.Exit) container.Exit {
	machine := health.NewMachine(check, began)
	if known := u.Record().Health; known != "" && known != api.HealthStarting {
		machine = health.AdoptMachine(check, u.Record().Started, time.Now(), known)
	}
	timer := time.NewTimer(machine.Next(time.Now()))
	defer timer.Stop()
	results := make(chan probeResult, 1)
	for {
		select {
		case exit := <-exited:
			return exit
		case <-timer.C:
			go func() { results <- u.runProbe(ctx, c, check) }()
		case res := <-results:
			u.mu.Lock()
			// Whom Pause has stopped cannot answer: that says nothing.
			counts := !res.paused && u.rec.State == api.StateRunning && res.Start.After(u.thawed)
			if counts {
				u.probe = res
			}
			u.mu.Unlock()
			if !counts {
				timer.Reset(check.Interval)
				continue
			}
			if next, changed := machine.Report(res.Result); changed {
				u.update(func(s *state.Run) { s.Health = next })
				u.announce()
				u.emit("health_status", "health", next)
			}
			timer.Reset(machine.Next(time.Now()))
		}
	}
}

// firstHealth is the health of a container that just starts.
func (u *Unit) firstHealth() string {
	if _, ok := health.Effective(u.rec.Image.Config.Healthcheck.Compose(), u.rec.Declared.Healthcheck); ok {
		return api.HealthStarting
	}
	return ""
}

// reap frees what a process leaves behind and records its exit.
func (u *Unit) reap(ctx context.Context, r *run, exit container.Exit, again bool) {
	u.drainOutput(r)
	if c := r.current(); c != nil {
		u.m.warn(c.Delete(ctx))
	}
	r.set(nil)
	next := api.StateExited
	if again {
		next = api.StateRestarting
	}
	u.update(func(s *state.Run) {
		s.State, s.PID, s.StartTime, s.Exit = next, 0, 0, nil
		s.ExitCode, s.OOMKilled, s.Finished, s.Health = exit.Code, exit.OOMKilled, time.Now(), ""
		u.code = exit.Code
	})
	u.announce()
	if exit.OOMKilled {
		u.emit("oom")
	}
	u.emit("die", "exitCode", strconv.Itoa(exit.Code), "restarting", strconv.FormatBool(again))
}

// exitElsewhere finds the exit status of a process that is not our child.
func (m *Machine) exitElsewhere(c *container.Container, err error) container.Exit {
	exit := m.exitOfDead(c.PID(), c.StartTime())
	if exit.Code == unknownExit {
		m.warn(err)
	}
	return exit
}

// exitOfDead asks the guard, which reaps the containers of the engines that
// died under it. It may have to be waited for; nobody else knows.
func (m *Machine) exitOfDead(pid int, start uint64) container.Exit {
	if m.Guard == nil || m.Guard.Generation() == 1 {
		return container.Exit{Code: unknownExit} // nobody was there to reap it
	}
	select {
	case e := <-m.Guard.Exited(pid, start):
		return container.Exit{Code: e.Code()}
	case <-m.Guard.Done():
	case <-time.After(guardAnswer):
	}
	m.Guard.Forget(pid, start)
	return container.Exit{Code: unknownExit}
}

const (
	// unknownExit is the exit code of a process whose end nobody saw.
	unknownExit = 255
	// guardAnswer bounds the wait for the guard's word on an orphan that is
	// gone: it comes at once, or the orphan was not the guard's.
	guardAnswer = 5 * time.Second
)
