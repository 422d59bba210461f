package graph

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"devstack/compose"
)

// Edge is one need of a service for another.
type Edge struct {
	From, To  string
	Condition string // one of compose.Condition*
	Restart   bool   // From restarts when To does
	Required  bool   // without To, From cannot run
	Cause     string // the key that says so: depends_on, links, volumes_from, network_mode, ...
	Pos       compose.Pos
}

// Graph is the enabled services of a project and their needs.
type Graph struct {
	names      []string // sorted
	needs      map[string][]Edge
	dependents map[string][]Edge
	levels     [][]string
}

// CycleError says that services wait for each other in a circle.
type CycleError struct {
	Edges []Edge // each one's To is the next one's From; the last leads back
}

// Error prints the circle with the place of each of its edges.
func (e *CycleError) Error() string {
	var b strings.Builder
	b.WriteString("dependency cycle: " + e.Edges[0].From)
	for _, edge := range e.Edges {
		b.WriteString(" -> " + edge.To)
	}
	for _, edge := range e.Edges {
		verb := edge.Cause
		fmt.Fprintf(&b, "\n  %s needs %s (%s)", edge.From, edge.To, verb)
		if edge.Pos.IsValid() {
			b.WriteString(" at " + edge.Pos.String())
		}
	}
	return b.String()
}

// New makes the graph of p's enabled services. Needs for services that are
// not there are left out: the loader has reported the ones that matter. The
// error is a *CycleError.
func New(p *compose.Project) (*Graph, error) {
	g := &Graph{names: p.ServiceNames(), needs: map[string][]Edge{}, dependents: map[string][]Edge{}}
	for _, from := range g.names {
		s := p.Services[from]
		for _, to := range needed(&s) {
			if _, ok := p.Services[to]; !ok {
				continue
			}
			d, ok := s.DependsOn[to]
			if !ok {
				d = compose.Dependency{Condition: compose.ConditionStarted, Restart: true, Required: true}
			}
			cause, pos := Cause(p, from, to)
			e := Edge{From: from, To: to, Condition: d.Condition, Restart: d.Restart, Required: d.Required, Cause: cause, Pos: pos}
			g.needs[from] = append(g.needs[from], e)
			g.dependents[to] = append(g.dependents[to], e)
		}
	}
	if cycle := g.cycle(); cycle != nil {
		return nil, &CycleError{Edges: cycle}
	}
	g.arrange()
	return g, nil
}

// needed lists what a service needs, by any key, sorted.
func needed(s *compose.Service) []string {
	set := map[string]bool{}
	for to := range s.DependsOn {
		set[to] = true
	}
	for _, r := range references(s) {
		set[r.to] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// reference is a need that a key other than depends_on implies.
type reference struct {
	to, cause string
	index     int // in a list, or -1
}

func references(s *compose.Service) []reference {
	var refs []reference
	for i, l := range s.Links {
		to, _, _ := strings.Cut(l, ":")
		refs = append(refs, reference{to, "links", i})
	}
	for i, v := range s.VolumesFrom {
		if !strings.HasPrefix(v, "container:") {
			to, _, _ := strings.Cut(v, ":")
			refs = append(refs, reference{to, "volumes_from", i})
		}
	}
	for _, m := range [...][2]string{{"network_mode", s.NetworkMode}, {"ipc", s.IPC}, {"pid", s.PID}, {"uts", s.UTS}, {"cgroup", s.Cgroup}} {
		if to, ok := strings.CutPrefix(m[1], "service:"); ok {
			refs = append(refs, reference{to, m[0], -1})
		}
	}
	return refs
}

// Cause tells which key makes a service need another, and where it stands.
// depends_on comes first, since it says how.
func Cause(p *compose.Project, from, to string) (string, compose.Pos) {
	if pos, ok := p.Positions[compose.Path("services", from, "depends_on", to)]; ok {
		return "depends_on", pos
	}
	s, ok := p.Services[from]
	if !ok {
		s = p.Disabled[from]
	}
	for _, r := range references(&s) {
		if r.to != to {
			continue
		}
		if r.index < 0 {
			return r.cause, p.Pos("services", from, r.cause)
		}
		return r.cause, p.Pos("services", from, r.cause, strconv.Itoa(r.index))
	}
	return "depends_on", p.Pos("services", from)
}

// cycle finds a circle, or nil. It is the same one every time.
func (g *Graph) cycle() []Edge {
	const (
		unseen = iota
		open
		done
	)
	state := map[string]int{}
	var path []Edge
	var visit func(name string) []Edge
	visit = func(name string) []Edge {
		state[name] = open
		for _, e := range g.needs[name] {
			switch state[e.To] {
			case open:
				path = append(path, e)
				for i := range path {
					if path[i].From == e.To {
						return path[i:]
					}
				}
			case unseen:
				path = append(path, e)
				if c := visit(e.To); c != nil {
					return c
				}
				path = path[:len(path)-1]
			}
		}
		state[name] = done
		return nil
	}
	for _, name := range g.names {
		if state[name] == unseen {
			if c := visit(name); c != nil {
				return c
			}
		}
	}
	return nil
}

// arrange puts each service one level above the highest of what it needs.
func (g *Graph) arrange() {
	level := make(map[string]int, len(g.names))
	var height func(name string) int
	height = func(name string) int {
		if l, ok := level[name]; ok {
			return l
		}
		l := 0
		for _, e := range g.needs[name] {
			l = max(l, height(e.To)+1)
		}
		level[name] = l
		return l
	}
	for _, name := range g.names {
		l := height(name)
		for len(g.levels) <= l {
			g.levels = append(g.levels, nil)
		}
		g.levels[l] = append(g.levels[l], name)
	}
}

// Levels groups the services: those of a level need only services of lower
// levels. Each level is sorted.
func (g *Graph) Levels() [][]string {
	out := make([][]string, len(g.levels))
	for i, l := range g.levels {
		out[i] = slices.Clone(l)
	}
	return out
}

// Order lists the services so that each comes after what it needs.
func (g *Graph) Order() []string {
	var out []string
	for _, l := range g.levels {
		out = append(out, l...)
	}
	return out
}

// Dependencies are the needs of a service, sorted by To.
func (g *Graph) Dependencies(service string) []Edge { return slices.Clone(g.needs[service]) }

// Dependents are the needs of others for a service, sorted by From.
func (g *Graph) Dependents(service string) []Edge { return slices.Clone(g.dependents[service]) }

// Closure adds what the services need, and what that needs, in the order of
// Order. Names that are not in the graph are left out.
func (g *Graph) Closure(services []string) []string {
	return g.reach(services, g.needs, func(e Edge) string { return e.To })
}

// Reached adds what needs the services, and what needs that, in the order of
// Order: what a change of them can touch.
func (g *Graph) Reached(services []string) []string {
	return g.reach(services, g.dependents, func(e Edge) string { return e.From })
}

// Followers are the edges by which others restart when the services do, and
// others again when those do: one for each, From being the follower, in the
// order of Order. include leaves out those that it is false for.
func (g *Graph) Followers(services []string, include func(service string) bool) []Edge {
	restarts := map[string]bool{}
	for _, name := range services {
		restarts[name] = true
	}
	var out []Edge
	for _, name := range g.Order() {
		if restarts[name] {
			continue
		}
		i := slices.IndexFunc(g.needs[name], func(e Edge) bool { return e.Restart && restarts[e.To] })
		if i >= 0 && include(name) {
			restarts[name] = true
			out = append(out, g.needs[name][i])
		}
	}
	return out
}

func (g *Graph) reach(from []string, edges map[string][]Edge, next func(Edge) string) []string {
	in := map[string]bool{}
	todo := slices.Clone(from)
	for len(todo) > 0 {
		name := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if in[name] {
			continue
		}
		in[name] = true
		for _, e := range edges[name] {
			todo = append(todo, next(e))
		}
	}
	return slices.DeleteFunc(g.Order(), func(name string) bool { return !in[name] })
}
