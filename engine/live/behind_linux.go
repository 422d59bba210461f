package live

import (
	"context"
	"errors"
	"slices"

	"devstack/compose"
	"devstack/compose/graph"
	"devstack/engine/api"
	"devstack/engine/plan"
)

// Dependents that restart with a service follow once it does its work again,
// and go on until then. Nobody has the project to himself for that wait: what
// an edit broke keeps no edit of another service from being live.

// leaveBehind adds to what the lane has to restart yet the running services
// that restart when those in done do.
func (l *lane) leaveBehind(p *compose.Project, done ...string) error {
	running := l.s.running()
	if running == nil {
		return nil
	}
	g, err := graph.New(p)
	if err != nil {
		return err
	}
	for _, edge := range g.Followers(done, running.Runs) {
		if !slices.Contains(l.behind, edge.From) {
			l.behind = append(l.behind, edge.From)
		}
	}
	return nil
}

// withShared adds the running services that an Up of one makes anew, too: they
// live in its namespaces.
func (s *Session) withShared(p *compose.Project, service string) []string {
	running := s.running()
	g, err := graph.New(p)
	if running == nil || err != nil {
		return []string{service}
	}
	return plan.TakenAlong(p, g.Order(), []string{service}, plan.SharedWith, running.Runs)
}

// follow restarts what was left behind, as soon as what it waits for is there.
// A newer edit ends the wait; its own work goes on with it.
func (s *Session) follow(ctx context.Context, l *lane) error {
	for len(l.behind) > 0 {
		p, declared := s.running(), s.latest()
		if p == nil {
			return nil
		}
		l.behind = slices.DeleteFunc(l.behind, func(name string) bool { return !p.Runs(name) })
		g, err := graph.New(declared)
		if err != nil {
			return err
		}
		wave := slices.DeleteFunc(slices.Clone(l.behind), func(name string) bool {
			return slices.ContainsFunc(g.Dependencies(name), func(e graph.Edge) bool { return slices.Contains(l.behind, e.To) })
		})
		for _, name := range wave {
			if err := s.awaitConditions(ctx, l, declared, name); errors.Is(err, errSuperseded) {
				return nil
			} else if err != nil {
				return err
			}
		}
		if err := s.restartOnly(ctx, wave, s.followers(l.service)); err != nil {
			return err
		}
		l.behind = slices.DeleteFunc(l.behind, func(name string) bool { return slices.Contains(wave, name) })
	}
	return nil
}

// awaitConditions waits for what a service's depends_on asks of others, or a
// newer edit.
func (s *Session) awaitConditions(ctx context.Context, l *lane, p *compose.Project, service string) error {
	running, declared := s.running(), p.Services[service]
	if running == nil {
		return nil
	}
	return l.supersedable(ctx, func(ctx context.Context) error {
		return running.AwaitDependencies(ctx, &declared, func(api.Message) {})
	})
}

// restartOnly restarts services, and nobody with them.
func (s *Session) restartOnly(ctx context.Context, services []string, emit func(api.Message)) error {
	if len(services) == 0 {
		return nil
	}
	_, err := s.o.Engine.Restart(ctx, api.ServiceRequest{Name: s.declared().Name, Services: services, NoDeps: true, Edit: true}, emit)
	return err
}
