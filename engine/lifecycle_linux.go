package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"devstack/compose"
	"devstack/compose/graph"
	"devstack/engine/api"
	"devstack/engine/supervise"
)

// targets finds the project and the services that a request is about: without
// names those that the request declares and enables, else all that there are.
// A project of which there is nothing is nil.
func (e *Engine) targets(req *api.ServiceRequest) (*supervise.Project, []string, error) {
	p := e.known(req.Name)
	if p == nil {
		if req.Project == nil && len(req.Services) > 0 {
			return nil, nil, &api.Error{Message: "no such service: " + req.Services[0]}
		}
		return nil, nil, nil
	}
	var services []string
	if len(req.Services) == 0 {
		for _, u := range p.Units() {
			if !u.OneOff() && !slices.Contains(services, u.Service()) && enabled(req.Project, u.Service()) {
				services = append(services, u.Service())
			}
		}
		return p, services, nil
	}
	declared := e.declaration(p, req.Project)
	for _, name := range req.Services {
		if _, ok := declared.Services[name]; !ok && len(p.ServiceUnits(name)) == 0 {
			return nil, nil, &api.Error{Message: "no such service: " + name}
		}
		if !slices.Contains(services, name) {
			services = append(services, name)
		}
	}
	return p, services, nil
}

// enabled reports whether a project file has a service, and no profile that
// was not asked for. Without a file every service is.
func enabled(p *compose.Project, service string) bool {
	if p == nil {
		return true
	}
	_, ok := p.Services[service]
	return ok
}

// lockTargets is targets with the right to change the project. What there is
// counts when the turn has come.
func (e *Engine) lockTargets(ctx context.Context, req *api.ServiceRequest) (*supervise.Project, []string, func(), error) {
	for {
		p, _, err := e.targets(req)
		if err != nil || p == nil {
			return nil, nil, func() {}, err
		}
		unlock, err := p.Lock(ctx)
		if err != nil {
			return nil, nil, nil, err
		}
		if e.known(req.Name) != p {
			unlock() // it was forgotten while this waited
			continue
		}
		_, services, err := e.targets(req)
		if err != nil {
			unlock()
			return nil, nil, nil, err
		}
		return p, services, e.hasten(unlock), nil
	}
}

// eachUnit runs fn for the containers of services, dependents before what
// they depend on (reverse) or the other way round, one service's containers
// at once.
func eachUnit(ctx context.Context, p *supervise.Project, services []string, reverse bool, fn func(context.Context, *supervise.Unit) error) error {
	declared, _ := p.Declared()
	before := map[string][]string{}
	if g, err := graph.New(declared); err == nil {
		for _, name := range services {
			for _, edge := range g.Dependencies(name) {
				first, then := edge.To, name
				if reverse {
					first, then = then, first
				}
				before[then] = append(before[then], first)
			}
		}
	}
	done := map[string]chan struct{}{}
	for _, name := range services {
		done[name] = make(chan struct{})
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, name := range services {
		wg.Go(func() {
			defer close(done[name])
			for _, other := range before[name] {
				if ch, ok := done[other]; ok {
					<-ch
				}
			}
			var units sync.WaitGroup
			for _, u := range p.ServiceUnits(name) {
				units.Go(func() {
					if err := fn(ctx, u); err != nil {
						mu.Lock()
						defer mu.Unlock()
						errs = append(errs, err)
					}
				})
			}
			units.Wait()
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// step reports one container's progress around fn.
func step(u *supervise.Unit, emit func(api.Message), working, done string, fn func() error) error {
	return stepBecause(u, emit, working, done, "", fn)
}

func stepBecause(u *supervise.Unit, emit func(api.Message), working, done, cause string, fn func() error) error {
	id := "Container " + u.Name()
	emit(api.Message{Progress: &api.Progress{ID: id, State: api.Working, Text: working, Detail: cause}})
	if err := fn(); err != nil {
		emit(api.Message{Progress: &api.Progress{ID: id, State: api.Failed, Text: "Error", Detail: err.Error()}})
		var e *api.Error
		if errors.As(err, &e) {
			return err
		}
		return &api.Error{Service: u.Service(), Message: err.Error(), Path: compose.Path("services", u.Service())}
	}
	emit(api.Message{Progress: &api.Progress{ID: id, State: api.Done, Text: done}})
	return nil
}

// Start starts containers that exist, with the conditions of what they
// depend on.
func (e *Engine) Start(ctx context.Context, req api.ServiceRequest, emit func(api.Message)) (struct{}, error) {
	p, services, unlock, err := e.lockTargets(ctx, &req)
	if err != nil {
		return struct{}{}, err
	}
	defer unlock()
	if name := withoutContainer(p, &req); name != "" {
		return struct{}{}, &api.Error{Message: fmt.Sprintf("service %q has no container to start", name)}
	}
	if p == nil {
		return struct{}{}, nil
	}
	err = e.start(ctx, p, services, emit)
	for _, u := range p.Units() {
		if err == nil && slices.Contains(services, u.Service()) {
			err = u.Rejoin(ctx)
		}
	}
	if err == nil && req.Wait {
		err = p.AwaitReady(ctx, services, emit)
	}
	return struct{}{}, err
}

// withoutContainer is the first service of a request that should have a
// container and has none.
func withoutContainer(p *supervise.Project, req *api.ServiceRequest) string {
	wanted := req.Services
	if len(wanted) == 0 && req.Project != nil {
		wanted = req.Project.ServiceNames()
	}
	for _, name := range wanted {
		if p != nil && len(p.ServiceUnits(name)) > 0 {
			continue
		}
		if req.Project != nil {
			if s, ok := req.Project.Services[name]; ok && s.Replicas() == 0 {
				continue
			}
		}
		return name
	}
	return ""
}

func (e *Engine) start(ctx context.Context, p *supervise.Project, services []string, emit func(api.Message)) error {
	return eachUnit(ctx, p, services, false, func(ctx context.Context, u *supervise.Unit) error {
		if u.Process() != nil {
			return nil
		}
		return step(u, emit, "Starting", "Started", func() error {
			rec := u.Record()
			if err := p.AwaitDependencies(ctx, &rec.Declared, emit); err != nil {
				return err
			}
			return u.Start(ctx)
		})
	})
}

// Stop stops containers and leaves them there.
func (e *Engine) Stop(ctx context.Context, req api.ServiceRequest, emit func(api.Message)) (struct{}, error) {
	p, services, unlock, err := e.lockTargets(ctx, &req)
	if err != nil || p == nil {
		return struct{}{}, err
	}
	defer unlock()
	return struct{}{}, e.stop(ctx, p, services, req.Timeout, emit)
}

func (e *Engine) stop(ctx context.Context, p *supervise.Project, services []string, timeout *compose.Duration, emit func(api.Message)) error {
	return eachUnit(ctx, p, services, true, func(ctx context.Context, u *supervise.Unit) error {
		return step(u, emit, "Stopping", "Stopped", func() error {
			return u.Stop(ctx, timeout)
		})
	})
}

// Restart restarts containers in place, and what depends on them with
// `restart: true`.
func (e *Engine) Restart(ctx context.Context, req api.ServiceRequest, emit func(api.Message)) (struct{}, error) {
	p, services, unlock, err := e.lockTargets(ctx, &req)
	if err != nil || p == nil {
		return struct{}{}, err
	}
	defer unlock()
	if req.Edit {
		defer p.Hasten()()
	}
	causes := map[string]string{}
	if !req.NoDeps {
		services, causes = e.followers(p, services)
	}
	return struct{}{}, eachUnit(ctx, p, services, false, func(ctx context.Context, u *supervise.Unit) error {
		return stepBecause(u, emit, "Restarting", "Started", causes[u.Service()], func() error {
			return u.Restart(ctx, req.Timeout, func(ctx context.Context) error {
				rec := u.Record()
				return p.AwaitDependencies(ctx, &rec.Declared, emit)
			})
		})
	})
}

// followers adds the services that a restart takes along, and why: dependents
// with `restart: true`, and theirs.
func (e *Engine) followers(p *supervise.Project, services []string) ([]string, map[string]string) {
	causes := map[string]string{}
	declared, _ := p.Declared()
	g, err := graph.New(declared)
	if err != nil {
		return services, causes
	}
	out := slices.Clone(services)
	for _, edge := range g.Followers(services, func(name string) bool { return len(p.ServiceUnits(name)) > 0 }) {
		out = append(out, edge.From)
		causes[edge.From] = edge.To + " restarted"
	}
	return out, causes
}

// Kill sends a signal, SIGKILL unless the request says another.
func (e *Engine) Kill(ctx context.Context, req api.ServiceRequest, emit func(api.Message)) (struct{}, error) {
	p, services, err := e.targets(&req)
	if err != nil {
		return struct{}{}, err
	}
	if p == nil || !anyRuns(p, services) {
		emit(api.Message{Notice: &api.Notice{Level: "info", Text: "No container to kill"}})
		return struct{}{}, nil
	}
	name := req.Signal
	if name == "" {
		name = "SIGKILL"
	}
	sig, err := supervise.ParseSignal(name)
	if err != nil {
		return struct{}{}, &api.Error{Message: err.Error()}
	}
	// No lock: kill is what ends an operation that hangs.
	return struct{}{}, eachUnit(ctx, p, services, true, func(ctx context.Context, u *supervise.Unit) error {
		if u.Process() == nil {
			return nil
		}
		return step(u, emit, "Killing", "Killed", func() error { return u.Signal(ctx, sig) })
	})
}

func anyRuns(p *supervise.Project, services []string) bool {
	return slices.ContainsFunc(p.Units(), func(u *supervise.Unit) bool {
		return !u.OneOff() && u.Process() != nil && slices.Contains(services, u.Service())
	})
}

// Remove removes stopped containers, or with Stop also running ones.
func (e *Engine) Remove(ctx context.Context, req api.ServiceRequest, emit func(api.Message)) (struct{}, error) {
	p, services, unlock, err := e.lockTargets(ctx, &req)
	if err != nil || p == nil {
		return struct{}{}, err
	}
	defer unlock()
	return struct{}{}, eachUnit(ctx, p, services, true, func(ctx context.Context, u *supervise.Unit) error {
		if u.Process() != nil && !req.Stop {
			return nil
		}
		return step(u, emit, "Removing", "Removed", func() error {
			return u.Remove(ctx, req.Timeout, req.Volumes)
		})
	})
}
