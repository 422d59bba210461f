package live

import (
	"context"
	"slices"

	"devstack/compose"
	"devstack/engine/plan"
)

// taking runs fn, which stops the service's dependents and starts them when the
// service is up again. Those that are left stopped, because it does not come up
// or a newer edit ended the wait for it, come along with what succeeds later.
func (l *lane) taking(fn func() error) error {
	before := l.dependents()
	err := fn()
	if err == nil {
		return nil
	}
	after := l.dependents()
	for _, name := range before {
		if !slices.Contains(after, name) && !slices.Contains(l.stopped, name) {
			l.stopped = append(l.stopped, name)
		}
	}
	return err
}

// startStopped starts what taking found to be left stopped, once the lane's
// service does its work again.
func (s *Session) startStopped(ctx context.Context, l *lane) error {
	p := s.latest()
	l.stopped = slices.DeleteFunc(l.stopped, func(name string) bool {
		_, still := p.Services[name]
		return !still
	})
	if len(l.stopped) == 0 {
		return nil
	}
	if err := s.serving(ctx, l, l.service); err != nil {
		return err
	}
	err := s.up(ctx, p, l.stopped, true, s.followers(l.service))
	if err == nil {
		l.stopped = nil
	}
	return err
}

// dependents are the services that run and follow the lane's.
func (l *lane) dependents() (names []string) {
	running := l.s.running()
	if running == nil {
		return nil
	}
	p := l.s.declared()
	for _, name := range p.ServiceNames() {
		if name != l.service && follows(p, name, l.service, map[string]bool{}) && running.Runs(name) {
			names = append(names, name)
		}
	}
	return names
}

// follows says whether a service restarts with another: it asks for that, or
// lives in its namespaces.
func follows(p *compose.Project, name, other string, seen map[string]bool) bool {
	if seen[name] {
		return false
	}
	seen[name] = true
	s, ok := p.Services[name]
	if !ok {
		return false
	}
	return slices.ContainsFunc(plan.RestartsWith(&s), func(dep string) bool { return dep == other || follows(p, dep, other, seen) })
}
