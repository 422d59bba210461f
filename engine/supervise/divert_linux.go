package supervise

import (
	"cmp"
	"context"
	"time"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/container"
	"devstack/engine/state"
)

// How a restart drops no request:
//
//	divert   new connections no longer reach the process: they are held
//	drain    requests under way are answered, for a bounded time
//	stop     SIGTERM and its grace
//	start    the next process; connections are held until it is healthy, or
//	         listens where it has no healthcheck

const (
	// holdTimeout is how long connections are held, unless x-devstack.hold says
	// another time.
	holdTimeout = 30 * time.Second
	// drainTimeout is how long requests under way are waited for before the stop
	// signal. A program that ends in order finishes longer ones by itself.
	drainTimeout = time.Second
)

// holdOf is what the project says now; it makes no new container necessary.
func (p *Project) holdOf(s *compose.Service) compose.Hold {
	declared, _ := p.Declared()
	if now, ok := declared.Services[s.Name]; ok {
		s = &now
	}
	h, _ := s.Hold() // the loader has refused what cannot be read
	h.Timeout = cmp.Or(h.Timeout, holdTimeout)
	h.Drain = cmp.Or(h.Drain, drainTimeout)
	return h
}

// divert turns new connections to the container's published ports away from
// its process and waits for the requests under way.
func (u *Unit) divert(ctx context.Context) {
	rec := u.Record()
	hold := u.p.holdOf(&rec.Declared)
	if len(rec.Published) == 0 || rec.State != api.StateRunning || hold.Off {
		return
	}
	u.mu.Lock()
	u.diverted = true
	u.mu.Unlock()
	u.announce()
	if hold.Drain > 0 {
		u.drain(ctx, hold.Drain)
	}
}

// drain waits for the requests under way, no longer than limit.
func (u *Unit) drain(ctx context.Context, limit time.Duration) {
	rec := u.Record()
	var ports []uint16
	for _, p := range rec.Declared.Ports {
		if protocol(p) == "tcp" {
			ports = append(ports, uint16(p.Target))
		}
	}
	owner, err := u.networkOwner()
	if err != nil || len(ports) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := u.m.Network.Drain(ctx, owner.id, ports); err != nil && ctx.Err() == nil {
		u.m.warn(err)
	}
}

// takeOver makes the container's next process one that replaces another: its
// ports hold their clients until it is healthy.
func (u *Unit) takeOver() {
	u.mu.Lock()
	u.warming = true
	u.mu.Unlock()
}

// warmUp bounds the wait for health: then clients come through, as they would
// if nothing had been replaced.
func (u *Unit) warmUp(r *run, c *container.Container) {
	u.mu.Lock()
	warming := u.warming
	u.mu.Unlock()
	if !warming || u.Record().Health != api.HealthStarting {
		return
	}
	time.AfterFunc(u.p.holdOf(&u.rec.Declared).Timeout, func() {
		if r.current() != c {
			return
		}
		u.mu.Lock()
		u.warming = false
		u.mu.Unlock()
		u.announce()
	})
}

// takesClients reports whether the published ports lead to the container.
func (u *Unit) takesClients(rec *state.Container) bool {
	hold := u.p.holdOf(&rec.Declared)
	u.mu.Lock()
	defer u.mu.Unlock()
	if rec.State != api.StateRunning || rec.Replaces != "" || u.diverted {
		return false
	}
	if rec.Health != api.HealthStarting {
		return true
	}
	return !u.warming || hold.Off
}
