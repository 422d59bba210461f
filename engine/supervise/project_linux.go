package supervise

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/plan"
	"devstack/engine/state"
)

// Project is one project that the engine knows. Operations that change it run
// one at a time (Lock); what its units do by themselves (exits, restarts,
// health) goes on meanwhile.
type Project struct {
	Name string

	m    *Machine
	turn chan struct{} // holds one token: the right to change the project

	mu       sync.Mutex
	declared *compose.Project
	meta     api.Meta
	units    map[string]*Unit // by container id
	changed  chan struct{}    // closed and replaced at every change

	hasty bool // see Hasten

	// prepare, if not nil, is called before a container's process is made.
	prepare func(context.Context, *Unit, func(func(root string) error) error) error

	// reach is held while it is found out and told what can be reached: of two
	// changes at once the later one must have the last word. It comes before mu.
	reach sync.Mutex
}

// NewProject makes the project that rec describes, without units.
func NewProject(m *Machine, rec state.Project) *Project {
	p := &Project{
		Name: rec.Name, m: m, turn: make(chan struct{}, 1),
		declared: rec.Declared, meta: rec.Meta,
		units: map[string]*Unit{}, changed: make(chan struct{}),
	}
	if p.declared == nil {
		p.declared = &compose.Project{Name: rec.Name}
	}
	NameServices(p.declared)
	p.turn <- struct{}{}
	return p
}

// NameServices puts back the names that the wire form leaves out. A project that
// has them is only read: others may read it, too.
func NameServices(p *compose.Project) {
	for name, s := range p.Services {
		if s.Name != name {
			s.Name = name
			p.Services[name] = s
		}
	}
	p.SpreadAutoPorts()
}

// Lock waits for the right to change the project; call the result to give it
// back.
func (p *Project) Lock(ctx context.Context) (unlock func(), err error) {
	select {
	case <-p.turn:
		return func() {
			p.turn <- struct{}{}
			p.notify() // who waits for the project to be at rest
		}, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Changing reports whether an operation has the right to change the project
// just now.
func (p *Project) Changing() bool { return len(p.turn) == 0 }

// Declare records what the project is from now on.
func (p *Project) Declare(declared *compose.Project, meta api.Meta) error {
	NameServices(declared)
	if err := p.m.Records.PutProject(state.Project{Name: p.Name, Declared: declared, Meta: meta}); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.declared, p.meta = declared, meta
	return nil
}

// Declared is what was declared last, and from where.
func (p *Project) Declared() (*compose.Project, api.Meta) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.declared, p.meta
}

// Units are the project's containers, by service and number.
func (p *Project) Units() []*Unit {
	p.mu.Lock()
	defer p.mu.Unlock()
	us := make([]*Unit, 0, len(p.units))
	for _, u := range p.units {
		us = append(us, u)
	}
	slices.SortFunc(us, func(a, b *Unit) int {
		return cmp.Or(cmp.Compare(a.service, b.service), cmp.Compare(a.number, b.number), cmp.Compare(a.name, b.name), byGeneration(a, b))
	})
	return us
}

// ServiceUnits are the containers of one service, one-off ones left out.
func (p *Project) ServiceUnits(service string) []*Unit {
	us := p.Units()
	return slices.DeleteFunc(us, func(u *Unit) bool { return u.service != service || u.oneOff })
}

// Runs reports whether a container of a service has a process.
func (p *Project) Runs(service string) bool {
	return slices.ContainsFunc(p.ServiceUnits(service), func(u *Unit) bool { return u.Process() != nil })
}

// find is the container that carries a service's number: of two generations
// the newer one.
func (p *Project) find(service string, number int) *Unit {
	for _, u := range slices.Backward(p.ServiceUnits(service)) {
		if u.number == number {
			return u
		}
	}
	return nil
}

func (p *Project) byID(id string) *Unit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.units[id]
}

func (p *Project) addUnit(u *Unit) {
	p.mu.Lock()
	p.units[u.id] = u
	p.mu.Unlock()
	p.notify()
}

func (p *Project) dropUnit(u *Unit) {
	p.mu.Lock()
	delete(p.units, u.id)
	p.mu.Unlock()
	p.notify()
}

// notify wakes everybody who waits for a change of the project.
func (p *Project) notify() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.changed)
	p.changed = make(chan struct{})
}

// Await returns once cond holds or fails. cond is asked now and after every
// change; it must not block.
func (p *Project) Await(ctx context.Context, cond func() (bool, error)) error {
	for {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		ok, err := cond()
		if ok || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// records are the current records of a service's containers.
func (p *Project) records(service string) []state.Container {
	var out []state.Container
	for _, u := range p.ServiceUnits(service) {
		out = append(out, u.Record())
	}
	return out
}

// Observe is what the planner needs to know of the containers.
func (p *Project) Observe() []plan.Container {
	var out []plan.Container
	for _, u := range p.Units() {
		if u.oneOff {
			continue
		}
		rec := u.Record()
		if u.stopping() {
			rec.State = plan.Stopping // nobody may count on it
		}
		out = append(out, plan.Container{
			ID: rec.ID, Name: rec.Name, Service: rec.Service, Number: rec.Number,
			State: rec.State, ConfigHash: rec.ConfigHash, ImageDigest: string(rec.Image.ID),
			Rootless: u.rootless(),
		})
	}
	return out
}

// Running reports whether any container has a process, or will have one again.
func (p *Project) Running() bool {
	return slices.ContainsFunc(p.Units(), func(u *Unit) bool { return u.active() })
}

// Empty reports whether no container is left.
func (p *Project) Empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.units) == 0
}
