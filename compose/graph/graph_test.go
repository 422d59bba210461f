package graph_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"devstack/compose"
	"devstack/compose/graph"

	"github.com/google/go-cmp/cmp"
)

// project makes a project of "service: needs" lines.
func project(lines ...string) *compose.Project {
	p := &compose.Project{Services: map[string]compose.Service{}, Positions: compose.Positions{}}
	for i, line := range lines {
		name, needs, _ := strings.Cut(line, ":")
		s := compose.Service{Name: name, DependsOn: map[string]compose.Dependency{}}
		for _, need := range strings.Fields(needs) {
			s.DependsOn[need] = compose.Dependency{Condition: compose.ConditionStarted, Required: true}
			p.Positions[compose.Path("services", name, "depends_on", need)] = compose.Pos{File: "compose.yaml", Line: i + 1, Col: 5}
		}
		p.Services[name] = s
	}
	return p
}

func TestLevelsAndOrder(t *testing.T) {
	g, err := graph.New(project("web: api cache", "api: db", "db:", "cache:", "lonely:", "top: web lonely gone"))
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"cache", "db", "lonely"}, {"api"}, {"web"}, {"top"}}
	if d := cmp.Diff(want, g.Levels()); d != "" {
		t.Error(d)
	}
	if got := strings.Join(g.Order(), " "); got != "cache db lonely api web top" {
		t.Error(got)
	}
	if got := strings.Join(g.Closure([]string{"api", "nobody"}), " "); got != "db api" {
		t.Error(got)
	}
	if got := strings.Join(g.Reached([]string{"db"}), " "); got != "db api web top" {
		t.Error(got)
	}
	if got := g.Dependencies("web"); len(got) != 2 || got[0].To != "api" || got[1].To != "cache" {
		t.Error(got)
	}
	if got := g.Dependents("web"); len(got) != 1 || got[0].From != "top" {
		t.Error(got)
	}
}

func TestFollowers(t *testing.T) {
	p := project("db:", "api: db", "web: api", "top: web", "asks: db", "shares:", "off: api")
	for _, name := range []string{"api", "web", "top", "off"} {
		for to, d := range p.Services[name].DependsOn {
			d.Restart = true
			p.Services[name].DependsOn[to] = d
		}
	}
	s := p.Services["shares"]
	s.NetworkMode = "service:web"
	p.Services["shares"] = s
	g, err := graph.New(p)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range g.Followers([]string{"db"}, func(name string) bool { return name != "off" }) {
		got = append(got, e.From+" with "+e.To)
	}
	if d := cmp.Diff([]string{"api with db", "web with api", "shares with web", "top with web"}, got); d != "" {
		t.Error(d)
	}
	if got := g.Followers([]string{"db"}, func(name string) bool { return name == "web" }); len(got) != 0 {
		t.Error("a follower of who does not follow: ", got)
	}
}

func TestCauses(t *testing.T) {
	p := project("a:", "b:", "c:", "d:", "e:", "f:")
	s := p.Services["a"]
	s.Links, s.VolumesFrom = []string{"b:alias"}, []string{"c:ro", "container:x"}
	s.NetworkMode, s.IPC, s.PID = "service:d", "service:e", "service:f"
	p.Services["a"] = s
	g, err := graph.New(p)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range g.Dependencies("a") {
		got = append(got, e.To+" "+e.Cause)
	}
	want := []string{"b links", "c volumes_from", "d network_mode", "e ipc", "f pid"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestCycle(t *testing.T) {
	_, err := graph.New(project("in: a", "a: b", "b: c d", "c: a", "d:"))
	var cycle *graph.CycleError
	if !errors.As(err, &cycle) {
		t.Fatal(err)
	}
	want := `dependency cycle: a -> b -> c -> a
  a needs b (depends_on) at compose.yaml:2:5
  b needs c (depends_on) at compose.yaml:3:5
  c needs a (depends_on) at compose.yaml:4:5`
	if d := cmp.Diff(want, err.Error()); d != "" {
		t.Error(d)
	}
	if _, err := graph.New(project("a: a")); !errors.As(err, &cycle) || len(cycle.Edges) != 1 {
		t.Error(err)
	}
}

func TestDeepChain(t *testing.T) {
	lines := []string{"s0:"}
	for i := 1; i < 2000; i++ {
		lines = append(lines, fmt.Sprintf("s%d: s%d", i, i-1))
	}
	g, err := graph.New(project(lines...))
	if err != nil || len(g.Levels()) != 2000 {
		t.Fatal(err)
	}
}
