package engine

import (
	"maps"
	"slices"

	"devstack/compose"
	"devstack/engine/plan"
	"devstack/engine/supervise"
)

// followers adds to the selected services those that run and would be left
// behind on what is gone if a selected one is made anew: they live in its
// namespaces, or asked to restart with it. They keep their number.
func (u *up) followers(order []string) {
	if u.req.NoRecreate {
		return
	}
	scale := maps.Clone(u.req.Scale)
	for _, name := range order { // dependencies first, so that chains are seen
		s := u.req.Project.Services[name]
		units := u.p.ServiceUnits(name)
		running := slices.ContainsFunc(units, func(x *supervise.Unit) bool { return x.Process() != nil })
		if !running || slices.Contains(u.selected, name) || !u.follows(&s) {
			continue
		}
		u.selected = append(u.selected, name)
		if scale == nil {
			scale = map[string]int{}
		}
		scale[name] = len(units)
	}
	u.req.Scale = scale
}

func (u *up) follows(s *compose.Service) bool {
	for _, other := range plan.SharedWith(s) {
		if slices.Contains(u.selected, other) {
			return true
		}
	}
	for dep, d := range s.DependsOn {
		if d.Restart && !u.req.NoDeps && slices.Contains(u.selected, dep) {
			return true
		}
	}
	return false
}
