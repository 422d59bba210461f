package plan

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"devstack/compose"
	"devstack/engine/api"
)

// shop is web -> api -> db, where api restarts with db, plus a volume.
func shop() *compose.Project {
	def := map[string]*compose.ServiceNetwork{"default": nil}
	return &compose.Project{
		Name: "shop",
		Services: map[string]compose.Service{
			"db": {Name: "db", Image: "postgres:17", Networks: def, Volumes: []compose.Mount{{Type: compose.MountVolume, Source: "data", Target: "/data"}}},
			"api": {Name: "api", Image: "api", Networks: def, DependsOn: map[string]compose.Dependency{
				"db": {Condition: compose.ConditionHealthy, Required: true, Restart: true},
			}},
			"web": {Name: "web", Image: "nginx", Networks: def, DependsOn: map[string]compose.Dependency{
				"api": {Condition: compose.ConditionStarted, Required: true},
			}},
		},
		Networks: map[string]compose.Network{"default": {Name: "shop_default"}},
		Volumes:  map[string]compose.Volume{"data": {Name: "shop_data"}},
	}
}

func desired(p *compose.Project) Desired {
	d := Desired{Project: p, Order: []string{"db", "api", "web"}, Hashes: map[string]string{}, Digests: map[string]string{}}
	d.Order = slices.DeleteFunc(d.Order, func(n string) bool { _, ok := p.Services[n]; return !ok })
	d.Selected = d.Order
	for name, s := range p.Services {
		d.Hashes[name], d.Digests[name] = ServiceHash(s), "sha256:"+s.Image
	}
	return d
}

// asDeclared is what is there after d was brought up.
func asDeclared(d Desired) Observed {
	o := Observed{Networks: map[string]string{}, Volumes: map[string]bool{}}
	for _, n := range d.Project.Networks {
		o.Networks[n.Name] = NetworkHash(n)
	}
	for _, v := range d.Project.Volumes {
		o.Volumes[v.Name] = true
	}
	for _, name := range d.Order {
		s := d.Project.Services[name]
		for n := 1; n <= d.replicas(name); n++ {
			o.Containers = append(o.Containers, Container{
				ID: name + string(rune('0'+n)), Name: d.containerName(&s, n), Service: name, Number: n,
				State: api.StateRunning, ConfigHash: d.Hashes[name], ImageDigest: d.Digests[name],
			})
		}
	}
	return o
}

func TestUp(t *testing.T) {
	two := 2
	tests := []struct {
		name   string
		change func(d *Desired, o *Observed)
		want   string
	}{
		{"nothing there", func(_ *Desired, o *Observed) { *o = Observed{} }, `
create network  shop_default  declared
create volume   shop_data     declared
create          shop-db-1     new
start           shop-db-1
create          shop-api-1    new
start           shop-api-1    after db is healthy
create          shop-web-1    new
start           shop-web-1    after api is started
`},
		{"nothing to do", func(*Desired, *Observed) {}, `
nothing to change
`},
		{"db changed: api follows, web does not", func(d *Desired, _ *Observed) { d.Hashes["db"] = "other" }, `
recreate        shop-db-1   configuration changed
start           shop-db-1
restart         shop-api-1  db recreated
`},
		{"new image", func(d *Desired, _ *Observed) { d.Digests["web"] = "sha256:new" }, `
recreate        shop-web-1  image changed
start           shop-web-1  after api is started
`},
		{"files removed", func(_ *Desired, o *Observed) { o.Containers[2].Rootless = true }, `
recreate        shop-web-1  files were removed
start           shop-web-1  after api is started
`},
		{"stopped", func(_ *Desired, o *Observed) { o.Containers[2].State = api.StateExited }, `
start           shop-web-1  is exited, after api is started
`},
		{"scaled up and down", func(d *Desired, o *Observed) {
			o.Containers = append(o.Containers, Container{ID: "db2", Name: "shop-db-2", Service: "db", Number: 2, State: api.StateRunning, ConfigHash: d.Hashes["db"], ImageDigest: d.Digests["db"]})
			d.Scale = map[string]int{"web": two}
		}, `
remove          shop-db-2   scaled to 1
create          shop-web-2  new
start           shop-web-2  after api is started
`},
		{"orphan", func(d *Desired, o *Observed) {
			o.Containers = append(o.Containers, Container{ID: "x", Name: "shop-old-1", Service: "old", Number: 1, State: api.StateRunning})
			d.RemoveOrphans = true
		}, `
remove          shop-old-1  orphan
`},
		{"forced, only the named", func(d *Desired, _ *Observed) { d.ForceRecreate, d.Targets = true, []string{"web"} }, `
recreate        shop-web-1  forced
start           shop-web-1  after api is started
`},
		{"no start", func(d *Desired, o *Observed) { d.NoStart = true; o.Containers = o.Containers[:2] }, `
create          shop-web-1  new
`},
		{"network changed", func(_ *Desired, o *Observed) { o.Networks["shop_default"] = "other" }, `
stop            shop-db-1     network shop_default changed
stop            shop-api-1    network shop_default changed
stop            shop-web-1    network shop_default changed
remove network  shop_default  declaration changed
create network  shop_default  declaration changed
recreate        shop-db-1     network changed
start           shop-db-1
recreate        shop-api-1    network changed
start           shop-api-1    after db is healthy
recreate        shop-web-1    network changed
start           shop-web-1    after api is started
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := desired(shop())
			o := asDeclared(d)
			tt.change(&d, &o)
			p := Up(d, o)
			if diff := cmp.Diff(tt.want, "\n"+p.String()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			checkOrder(t, p)
		})
	}
}

func checkOrder(t *testing.T, p *Plan) {
	t.Helper()
	for i, op := range p.Ops {
		for _, a := range op.After {
			if a >= i {
				t.Errorf("operation %d (%s %s) comes after %d", i, op.Kind, op.Object, a)
			}
		}
	}
}

func TestStartWaitsForNewGenerationOfDependency(t *testing.T) {
	d := desired(shop())
	o := asDeclared(d)
	d.Hashes["db"], d.Hashes["api"] = "other", "other"
	p := Up(d, o)
	at := map[string]int{}
	for i, op := range p.Ops {
		at[string(op.Kind)+" "+op.Service] = i
	}
	if !slices.Contains(p.Ops[at["start api"]].After, at["start db"]) {
		t.Errorf("start api does not come after start db:\n%+v", p.Ops)
	}
}

func TestSharedNamespaceFollows(t *testing.T) {
	p := shop()
	s := p.Services["web"]
	s.Networks, s.NetworkMode = nil, "service:api"
	p.Services["web"] = s
	d := desired(p)
	o := asDeclared(d)
	d.Hashes["api"] = "other"
	got := Up(d, o).String()
	want := `recreate        shop-api-1  configuration changed
start           shop-api-1  after db is healthy
recreate        shop-web-1  api recreated
start           shop-web-1  after api is started
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

func TestDown(t *testing.T) {
	d := desired(shop())
	o := asDeclared(d)
	o.Containers = append(o.Containers, Container{ID: "x", Name: "shop-old-1", Service: "old", Number: 1})
	r := Removal{
		Project:    d.Project,
		Dependents: map[string][]string{"db": {"api"}, "api": {"web"}},
		Volumes:    true, AnyVolumes: slices.Collect(maps.Keys(o.Volumes)),
	}
	want := `remove          shop-web-1    down
remove          shop-api-1    down
remove          shop-db-1     down
remove network  shop_default  down
remove volume   shop_data     down --volumes
`
	p := Down(r, o)
	if diff := cmp.Diff(want, p.String()); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	checkOrder(t, p)
	if after := p.Ops[2].After; len(after) != 1 || p.Ops[after[0]].Object != "shop-api-1" {
		t.Errorf("db is removed after %v, want api", after)
	}
	r.Services, r.RemoveOrphans = []string{"web"}, true
	if got, want := Down(r, o).String(), "remove          shop-web-1  down\n"; got != want {
		t.Errorf("down web = %q, want %q", got, want)
	}
}

// The engine's own bookkeeping must not recreate containers.
func TestServiceHashIgnoresSteering(t *testing.T) {
	a := shop().Services["api"]
	b := a
	n := 3
	b.DependsOn, b.Scale, b.PullPolicy, b.Profiles = nil, &n, "always", []string{"x"}
	if ServiceHash(a) != ServiceHash(b) {
		t.Error("hash depends on depends_on, scale, pull_policy or profiles")
	}
	b.Image = "other"
	if ServiceHash(a) == ServiceHash(b) {
		t.Error("hash does not depend on the image")
	}
}

func TestWithout(t *testing.T) {
	p := Up(desired(shop()), Observed{})
	q := p.Without("api")
	if slices.Contains(q.Services(), "api") || len(q.Ops) != len(p.Ops)-2 {
		t.Errorf("without api:\n%s", q)
	}
	checkOrder(t, q)
}

func TestTakenAlong(t *testing.T) {
	p := &compose.Project{Services: map[string]compose.Service{
		"db":     {},
		"api":    {DependsOn: map[string]compose.Dependency{"db": {Restart: true}}},
		"inside": {NetworkMode: "service:api"},
		"inner":  {IPC: "service:inside"},
		"off":    {PID: "service:db"},
		"asks":   {DependsOn: map[string]compose.Dependency{"db": {}}},
	}}
	order := []string{"db", "api", "asks", "off", "inside", "inner"}
	runs := func(name string) bool { return name != "off" }
	for _, c := range []struct {
		of   string
		with func(*compose.Service) []string
		want []string
	}{
		{"db", RestartsWith, []string{"db", "api", "inside", "inner"}},
		{"db", SharedWith, []string{"db"}},
		{"api", SharedWith, []string{"api", "inside", "inner"}},
	} {
		if got := TakenAlong(p, order, []string{c.of}, c.with, runs); !slices.Equal(got, c.want) {
			t.Errorf("along with %s: %v, want %v", c.of, got, c.want)
		}
	}
}
