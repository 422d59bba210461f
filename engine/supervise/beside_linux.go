package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/plan"
	"devstack/engine/state"
)

// With deploy.update_config.order: start-first the new generation starts beside
// the old one:
//
//	created beside --start--> standing by --ready--> takes over, the old one goes
//	                               |
//	                               +--exits, unhealthy, too late--> goes; the old one stays
//
// While it stands by nothing leads to it: no name, no published port. Its record
// says whom it replaces (Replaces), so that an engine that finds both after a
// crash removes it and leaves the old one serving.

// StartsFirst reports whether the next generation, declared as s, starts beside
// this one.
func (u *Unit) StartsFirst(s *compose.Service) bool {
	d := s.Deploy
	if d == nil || d.UpdateConfig == nil || d.UpdateConfig.Order != "start-first" || !u.active() {
		return false
	}
	if !ownSandbox(s) || s.NetworkMode == netNone {
		return false // they would want the same ports of one namespace
	}
	for _, n := range s.Networks {
		if n != nil && (n.IPv4Address != "" || n.IPv6Address != "" || n.MacAddress != "") {
			return false // and the same address
		}
	}
	return s.MacAddress == ""
}

// createBeside makes the next generation of old, which goes on.
func (x *Execution) createBeside(ctx context.Context, op plan.Op, old *Unit) error {
	u, err := x.create(ctx, op, old, old.id)
	if err != nil {
		return err
	}
	u.takeOver()
	return nil
}

// succeed waits until a container that was started beside another is ready, and
// lets it take over.
func (x *Execution) succeed(ctx context.Context, op plan.Op, u, old *Unit) error {
	x.progress(op, api.Working, "Waiting", "before it replaces "+old.id[:12])
	if err := u.awaitStanding(ctx); err != nil {
		evidence := u.Evidence(u.Record().Health == api.HealthUnhealthy)
		gone := u.Remove(context.WithoutCancel(ctx), x.Timeout, false)
		return errors.Join(&api.Error{
			Service: u.service, Message: fmt.Sprintf("the new container did not come up: %v; the old one goes on", err),
			Detail: evidence, Path: compose.Path("services", u.service),
		}, gone)
	}
	u.update(func(*state.Run) { u.rec.Replaces = "" })
	old.mu.Lock()
	old.diverted = true
	old.mu.Unlock()
	u.announce() // from here on new clients are its
	hold := u.p.holdOf(&old.rec.Declared)
	patience := max(hold.Drain, stopTimeout(&old.rec.Declared, x.Timeout))
	old.drain(ctx, patience)
	return old.Remove(ctx, x.Timeout, x.RenewAnon)
}

// awaitStanding waits until the container is healthy; without a healthcheck,
// until it listens at its published ports.
func (u *Unit) awaitStanding(ctx context.Context) error {
	r := u.currentRun()
	if err := u.AwaitServing(ctx); err != nil || u.firstHealth() != "" {
		return err
	}
	return u.monitor(ctx, r)
}

// AwaitServing waits until the container's present process is healthy; without
// a healthcheck, until it listens at its published ports. It fails when that
// process ends, or takes longer than connections are held.
func (u *Unit) AwaitServing(ctx context.Context) error {
	r := u.currentRun()
	limit := u.p.holdOf(&u.rec.Declared).Timeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not ready after %s", limit))
	defer cancel()
	watch, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if u.firstHealth() == "" {
		go func() { stop(u.awaitListening(watch)) }()
	}
	err := u.p.Await(watch, func() (bool, error) {
		rec := u.Record()
		switch {
		case rec.Health == api.HealthHealthy:
			return true, nil
		case rec.Health == api.HealthUnhealthy:
			return false, errors.New("it is unhealthy")
		case r.over() || rec.State == api.StateRestarting || rec.Restarts > 0 || r != u.currentRun():
			return false, fmt.Errorf("it exited (%d)", rec.ExitCode)
		}
		return false, nil
	})
	if errors.Is(err, errListens) {
		return nil
	}
	return err
}

// AwaitCrash watches over the container's present process until it counts as
// stable. The error says that it has ended by itself with a failure.
func (u *Unit) AwaitCrash(ctx context.Context) error {
	r := u.currentRun()
	ctx, cancel := context.WithTimeout(ctx, stableRun)
	defer cancel()
	var crash error
	_ = u.p.Await(ctx, func() (bool, error) {
		u.mu.Lock()
		defer u.mu.Unlock()
		ended := r.over() || u.rec.State == api.StateRestarting || u.rec.Restarts > 0
		if ended && u.code != 0 && r != nil && u.run == r && !r.halted() {
			crash = fmt.Errorf("it exited (%d)", u.code)
		}
		return ended || u.run != r || u.gone, nil
	})
	return crash
}

// monitor makes sure that a container of which only its ports can tell stays up
// for update_config.monitor; one without ports for a moment at least.
func (u *Unit) monitor(ctx context.Context, r *run) error {
	s := &u.rec.Declared
	limit := time.Duration(s.Deploy.UpdateConfig.Monitor)
	if limit == 0 && len(s.Ports) == 0 {
		limit = settle
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := u.p.Await(ctx, func() (bool, error) {
		if rec := u.Record(); rec.State != api.StateRunning || rec.Restarts > 0 || u.currentRun() != r {
			return false, fmt.Errorf("it exited (%d)", rec.ExitCode)
		}
		return false, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

var errListens = errors.New("it listens")

// awaitListening returns errListens once something accepts connections at every
// published port.
func (u *Unit) awaitListening(ctx context.Context) error {
	rec := u.Record()
	ips := addrs(&rec, "")
	began := time.Now()
	for _, p := range rec.Declared.Ports {
		if protocol(p) != "tcp" || len(ips) == 0 {
			continue
		}
		for !listens(ctx, ips[0], p.Target) {
			select {
			case <-time.After(min(max(time.Since(began)/10, time.Millisecond), 50*time.Millisecond)):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return errListens
}

func listens(ctx context.Context, ip netip.Addr, port uint32) bool {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(ip.String(), strconv.Itoa(int(port))))
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// Supplant removes the containers that were to replace others when the engine
// before this one died: those others still serve.
func (p *Project) Supplant(ctx context.Context) error {
	var errs []error
	for _, u := range p.Units() {
		rec := u.Record()
		if rec.Replaces == "" {
			continue
		}
		if p.byID(rec.Replaces) != nil {
			errs = append(errs, u.Remove(ctx, nil, false))
			continue
		}
		u.update(func(*state.Run) { u.rec.Replaces = "" })
		u.announce()
	}
	return errors.Join(errs...)
}

// byGeneration orders the containers of one number: older ones first.
func byGeneration(a, b *Unit) int { return cmp.Compare(a.rec.Generation, b.rec.Generation) }
