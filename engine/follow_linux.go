package engine

import (
	"maps"
	"slices"

	"devstack/compose"
	"devstack/engine/plan"
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
		if slices.Contains(u.selected, name) || !u.follows(&s) || !u.p.Runs(name) {
			continue
		}
		u.selected = append(u.selected, name)
		if scale == nil {
			scale = map[string]int{}
		}
		scale[name] = len(u.p.ServiceUnits(name))
	}
	u.req.Scale = scale
}

func (u *up) follows(s *compose.Service) bool {
	others := plan.SharedWith(s)
	if !u.req.NoDeps && !u.req.NoFollow {
		others = plan.RestartsWith(s)
	}
	return slices.ContainsFunc(others, func(other string) bool { return slices.Contains(u.selected, other) })
}
