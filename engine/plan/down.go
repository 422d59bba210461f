package plan

import (
	"cmp"
	"maps"
	"slices"

	"devstack/compose"
)

// Removal is what `down` (and `rm`) was asked for. Project is what is known of
// the declaration; it is never nil but may name no service.
type Removal struct {
	Project       *compose.Project
	Dependents    map[string][]string // service -> services that depend on it
	Services      []string            // nil: all, and the networks
	Volumes       bool
	AnyVolumes    []string // real names of the project's volumes, declared or anonymous
	RemoveOrphans bool
}

// Down plans the removal of o: dependents first, each service's containers
// together, then networks, then volumes.
func Down(r Removal, o Observed) *Plan {
	p := &Plan{}
	ops := map[string][]int{}
	var all []int
	orphan := map[string]bool{}
	for _, c := range Orphans(r.Project, o.Containers) {
		orphan[c.ID] = true
	}
	byService := map[string][]Container{}
	for _, c := range o.Containers {
		if r.Services != nil && !slices.Contains(r.Services, c.Service) {
			continue
		}
		if orphan[c.ID] && !r.RemoveOrphans {
			continue
		}
		byService[c.Service] = append(byService[c.Service], c)
	}
	var visit func(service string)
	visited := map[string]bool{}
	visit = func(service string) {
		if visited[service] {
			return
		}
		visited[service] = true
		var after []int
		for _, dependent := range r.Dependents[service] {
			visit(dependent)
			after = append(after, ops[dependent]...)
		}
		cs := byService[service]
		slices.SortFunc(cs, func(a, b Container) int { return cmp.Compare(a.Number, b.Number) })
		for _, c := range cs {
			cause := "down"
			if orphan[c.ID] {
				cause = "orphan"
			}
			i := p.add(Op{Kind: Remove, Object: c.Name, Service: service, Number: c.Number, ID: c.ID, Cause: cause, After: after})
			ops[service] = append(ops[service], i)
			all = append(all, i)
		}
		if len(cs) == 0 {
			ops[service] = after // order holds across a service without containers
		}
	}
	for _, service := range slices.Sorted(maps.Keys(byService)) {
		visit(service)
	}
	if r.Services != nil {
		return p
	}
	for _, name := range slices.Sorted(maps.Keys(o.Networks)) {
		p.add(Op{Kind: RemoveNetwork, Object: name, Cause: "down", After: all})
	}
	if r.Volumes {
		for _, name := range slices.Sorted(slices.Values(r.AnyVolumes)) {
			p.add(Op{Kind: RemoveVolume, Object: name, Cause: "down --volumes", After: all})
		}
	}
	return p
}
