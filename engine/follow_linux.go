package engine

import (
	"maps"

	"devstack/engine/plan"
)

// followers adds to the selected services those that run and would be left
// behind on what is gone if a selected one is made anew: they live in its
// namespaces, or asked to restart with it. They keep their number.
func (u *up) followers(order []string) {
	if u.req.NoRecreate {
		return
	}
	with := plan.RestartsWith
	if u.req.NoDeps || u.req.NoFollow {
		with = plan.SharedWith
	}
	all := plan.TakenAlong(u.req.Project, order, u.selected, with, u.p.Runs)
	scale := maps.Clone(u.req.Scale)
	for _, name := range all[len(u.selected):] {
		if scale == nil {
			scale = map[string]int{}
		}
		scale[name] = len(u.p.ServiceUnits(name))
	}
	u.selected, u.req.Scale = all, scale
}
