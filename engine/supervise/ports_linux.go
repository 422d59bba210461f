package supervise

import (
	"context"

	"devstack/compose"
)

// When a container's published ports are open:
//
//	from before its start until its run has ended for good, restarts included
//	while HoldPorts says so: a restart, or the way to the next generation
//	for the next generation until it starts, or ReleasePorts

// openPorts makes the published ports the container's own and opens them. The
// caller holds them.
func (u *Unit) openPorts(ctx context.Context) error {
	u.mu.Lock()
	u.ports = true
	u.mu.Unlock()
	rec := u.Record()
	open, err := u.p.Publish(ctx, &rec.Declared, rec.Number, portOwner(&rec))
	if err != nil {
		return err
	}
	u.mu.Lock()
	u.rec.Published = open
	u.mu.Unlock()
	return nil
}

// disownPorts gives up the ports of a container that does not run, unless
// somebody holds them: who is about to start it does.
func (u *Unit) disownPorts() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.holds == 0 && u.run.over() {
		u.ports = false
	}
}

// releasePorts closes the ports that nobody else uses.
func (u *Unit) releasePorts() {
	u.disownPorts()
	u.m.warn(u.p.ClosePorts(u.rec.Declared))
}

// HoldPorts keeps the container's ports open although it stops: it, or its
// successor, will be there again. release ends that; once nobody holds them,
// they are open only if the container has a run.
func (u *Unit) HoldPorts() (release func()) {
	u.mu.Lock()
	u.holds++
	u.mu.Unlock()
	return func() {
		u.mu.Lock()
		u.holds--
		over := u.run.over()
		u.mu.Unlock()
		if over {
			u.releasePorts()
		}
	}
}

// inheritPorts leaves the ports of the generation before open until the
// container starts, or ReleasePorts.
func (u *Unit) inheritPorts() {
	u.mu.Lock()
	u.ports = len(u.rec.Declared.Ports) > 0
	u.mu.Unlock()
	u.takeOver()
}

// ReleasePorts closes the ports of a service that were opened for containers
// which did not come to run.
func (p *Project) ReleasePorts(s compose.Service) error {
	for _, u := range p.ServiceUnits(s.Name) {
		u.disownPorts()
	}
	return p.ClosePorts(s)
}

// holdsPorts reports whether the ports of the container must stay open.
func (u *Unit) holdsPorts() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.ports || u.holds > 0
}

// RetirePorts closes those ports of a running container that its successor,
// declared as s, will not have; nil: all. Others may have them now. restore
// opens them again if it still runs.
func (u *Unit) RetirePorts(s *compose.Service) (restore func(context.Context) error) {
	none := func(context.Context) error { return nil }
	if !u.active() {
		return none
	}
	stays := map[string]bool{}
	if s != nil {
		for i := range s.Ports {
			stays[portKey(u.p.Name, s, i, u.number, "")] = true
		}
	}
	rec := u.Record()
	closed := false
	for i := range rec.Declared.Ports {
		if key := portKey(u.p.Name, &rec.Declared, i, rec.Number, portOwner(&rec)); !stays[key] {
			u.m.warn(u.m.closePort(key))
			closed = true
		}
	}
	if !closed {
		return none
	}
	return func(ctx context.Context) error {
		if !u.active() {
			return nil
		}
		err := u.reopenPorts(ctx)
		u.announce()
		return err
	}
}
