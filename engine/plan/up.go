package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"devstack/compose"
	"devstack/engine/api"
)

// Desired is what `up` was asked for.
type Desired struct {
	Project  *compose.Project
	Order    []string // every enabled service, dependencies first
	Selected []string // the services to bring up, with what they need
	Targets  []string // the services that the user named; nil: all selected

	Hashes  map[string]string // service -> ServiceHash, with file contents mixed in
	Digests map[string]string // service -> digest of its image
	Scale   map[string]int    // overrides

	NoStart            bool
	ForceRecreate      bool // the targets
	AlwaysRecreateDeps bool // what the targets need, too
	NoRecreate         bool
	RemoveOrphans      bool
	Separator          string // in names of new containers; "": a hyphen
}

// replicas is how many containers service should have.
func (d *Desired) replicas(service string) int {
	if n, ok := d.Scale[service]; ok {
		return n
	}
	s := d.Project.Services[service]
	return s.Replicas()
}

// containerName is the name of a service's container, as Compose forms it.
func (d *Desired) containerName(s *compose.Service, number int) string {
	if s.ContainerName != "" {
		return s.ContainerName
	}
	sep := cmp.Or(d.Separator, "-")
	return d.Project.Name + sep + s.Name + sep + strconv.Itoa(number)
}

// Up plans the way from o to d.
func Up(d Desired, o Observed) *Plan {
	p := &Plan{}
	u := upPlanner{d: &d, o: &o, p: p, objects: map[string]int{}, recreated: map[string]bool{}, lastOf: map[string][]int{}}
	u.networks()
	u.volumes()
	for _, name := range d.Order {
		if slices.Contains(d.Selected, name) {
			u.service(name)
		}
	}
	if d.RemoveOrphans {
		u.orphans()
	}
	return p
}

type upPlanner struct {
	d *Desired
	o *Observed
	p *Plan

	objects   map[string]int // network or volume real name -> op that makes it
	recreated map[string]bool
	lastOf    map[string][]int // service -> its ops
}

func (u *upPlanner) networks() {
	used := map[string]bool{}
	for _, name := range u.d.Selected {
		for key := range u.d.Project.Services[name].Networks {
			used[key] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(u.d.Project.Networks)) {
		n := u.d.Project.Networks[key]
		if n.External || !used[key] {
			continue
		}
		have, ok := u.o.Networks[n.Name]
		switch {
		case !ok:
			u.objects[n.Name] = u.p.add(Op{Kind: CreateNetwork, Object: n.Name, Key: key, Cause: "declared"})
		case have != NetworkHash(n):
			u.replaceNetwork(key, n)
		}
	}
}

// replaceNetwork removes whoever is on a network whose declaration changed,
// then the network, and makes it anew; the containers follow as recreated.
func (u *upPlanner) replaceNetwork(key string, n compose.Network) {
	var after []int
	for _, c := range u.o.Containers {
		s, ok := u.d.Project.Services[c.Service]
		if _, on := s.Networks[key]; ok && on && c.running() {
			after = append(after, u.p.add(Op{Kind: Stop, Object: c.Name, Service: c.Service, Number: c.Number, ID: c.ID, Cause: "network " + n.Name + " changed"}))
			u.recreated[c.Service] = true
		} else if on {
			u.recreated[c.Service] = true
		}
	}
	rm := u.p.add(Op{Kind: RemoveNetwork, Object: n.Name, Key: key, Cause: "declaration changed", After: after})
	u.objects[n.Name] = u.p.add(Op{Kind: CreateNetwork, Object: n.Name, Key: key, Cause: "declaration changed", After: []int{rm}})
}

func (u *upPlanner) volumes() {
	used := map[string]bool{}
	for _, name := range u.d.Selected {
		for _, m := range u.d.Project.Services[name].Volumes {
			if m.Type == compose.MountVolume {
				used[m.Source] = true
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(u.d.Project.Volumes)) {
		v := u.d.Project.Volumes[key]
		if v.External || !used[key] || u.o.Volumes[v.Name] {
			continue
		}
		u.objects[v.Name] = u.p.add(Op{Kind: CreateVolume, Object: v.Name, Key: key, Cause: "declared"})
	}
}

func (u *upPlanner) service(name string) {
	s := u.d.Project.Services[name]
	s.Name = name
	have := u.o.of(name)
	want := u.d.replicas(name)
	needs := u.needs(&s)
	follow := u.followCause(&s)

	byNumber := map[int]Container{}
	for _, c := range have {
		byNumber[c.Number] = c
	}
	// The lowest numbers stay; what is beyond the scale goes, highest first.
	for _, c := range slices.Backward(have) {
		if c.Number > want {
			u.lastOf[name] = append(u.lastOf[name], u.p.add(Op{
				Kind: Remove, Object: c.Name, Service: name, Number: c.Number, ID: c.ID,
				Cause: fmt.Sprintf("scaled to %d", want),
			}))
		}
	}
	for number := 1; number <= want; number++ {
		c, ok := byNumber[number]
		op := Op{Object: u.d.containerName(&s, number), Service: name, Number: number, After: needs}
		if !ok {
			op.Kind, op.Cause = CreateContainer, "new"
			create := u.p.add(op)
			u.lastOf[name] = append(u.lastOf[name], create)
			u.start(&s, op, "", create)
			continue
		}
		op.ID = c.ID
		if cause := u.recreateCause(&s, c); cause != "" {
			op.Kind, op.Cause = Recreate, cause
			u.recreated[name] = true
			create := u.p.add(op)
			u.lastOf[name] = append(u.lastOf[name], create)
			u.start(&s, op, "", create)
			continue
		}
		op.Object = c.Name
		switch {
		case c.running() && follow != "" && !u.d.NoStart:
			op.Kind, op.Cause = Restart, follow
			op.After = append(slices.Clone(op.After), u.dependencyOps(&s)...)
		case c.running() || u.d.NoStart:
			op.Kind, op.Cause = Keep, "up to date"
			op.After = nil
		default:
			u.start(&s, op, "is "+c.State)
			continue
		}
		u.lastOf[name] = append(u.lastOf[name], u.p.add(op))
	}
}

func (u *upPlanner) start(s *compose.Service, op Op, cause string, after ...int) {
	if u.d.NoStart {
		return
	}
	op.Kind = Start
	op.ID = "" // whatever carries the number by then
	op.Cause = cause
	if waits := u.waits(s); waits != "" {
		op.Cause = strings.TrimPrefix(op.Cause+", "+waits, ", ")
	}
	op.After = append(slices.Clone(after), u.namespaceOps(s)...)
	op.After = append(op.After, u.dependencyOps(s)...)
	u.lastOf[s.Name] = append(u.lastOf[s.Name], u.p.add(op))
}

// dependencyOps are the operations of what s requires: an old generation must
// not satisfy a condition that is meant for the new one.
func (u *upPlanner) dependencyOps(s *compose.Service) []int {
	var after []int
	for _, dep := range slices.Sorted(maps.Keys(s.DependsOn)) {
		if s.DependsOn[dep].Required {
			after = append(after, u.lastOf[dep]...)
		}
	}
	return after
}

// waits says in words what a start waits for.
func (u *upPlanner) waits(s *compose.Service) string {
	var parts []string
	for _, dep := range slices.Sorted(maps.Keys(s.DependsOn)) {
		if !slices.Contains(u.d.Selected, dep) {
			continue
		}
		word := "is started"
		switch s.DependsOn[dep].Condition {
		case compose.ConditionHealthy:
			word = "is healthy"
		case compose.ConditionCompleted:
			word = "has completed"
		}
		parts = append(parts, dep+" "+word)
	}
	if parts == nil {
		return ""
	}
	return "after " + strings.Join(parts, ", ")
}

// needs are the operations that make what a container of s is attached to.
func (u *upPlanner) needs(s *compose.Service) []int {
	var after []int
	for _, key := range slices.Sorted(maps.Keys(s.Networks)) {
		if i, ok := u.objects[u.d.Project.Networks[key].Name]; ok {
			after = append(after, i)
		}
	}
	for _, m := range s.Volumes {
		if m.Type != compose.MountVolume {
			continue
		}
		if i, ok := u.objects[u.d.Project.Volumes[m.Source].Name]; ok && !slices.Contains(after, i) {
			after = append(after, i)
		}
	}
	return append(after, u.namespaceOps(s)...)
}

// namespaceOps are the operations of services whose namespaces or volumes s shares.
func (u *upPlanner) namespaceOps(s *compose.Service) []int {
	var after []int
	for _, other := range SharedWith(s) {
		after = append(after, u.lastOf[other]...)
	}
	return after
}

// RestartsWith are the services with which s is made anew or restarts:
// SharedWith, and dependencies with `restart: true`.
func RestartsWith(s *compose.Service) []string {
	out := SharedWith(s)
	for dep, d := range s.DependsOn {
		if d.Restart {
			out = append(out, dep)
		}
	}
	return out
}

// TakenAlong adds to services those that run and are left behind when one of
// them is made anew, with saying with whom that happens to a service. order is
// the project's, dependencies first, so that chains are seen.
func TakenAlong(p *compose.Project, order, services []string, with func(*compose.Service) []string, runs func(service string) bool) []string {
	all := slices.Clone(services)
	for _, name := range order {
		s := p.Services[name]
		if slices.Contains(all, name) || !slices.ContainsFunc(with(&s), func(other string) bool { return slices.Contains(all, other) }) {
			continue
		}
		if runs(name) {
			all = append(all, name)
		}
	}
	return all
}

// SharedWith are the services whose namespaces or volumes s takes over:
// network_mode, ipc and pid `service:`, and volumes_from.
func SharedWith(s *compose.Service) []string {
	var out []string
	for _, mode := range []string{s.NetworkMode, s.IPC, s.PID} {
		if name, ok := strings.CutPrefix(mode, "service:"); ok {
			out = append(out, name)
		}
	}
	for _, from := range s.VolumesFrom {
		if name, _, _ := strings.Cut(from, ":"); name != "container" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// recreateCause says why c cannot stay, or "".
func (u *upPlanner) recreateCause(s *compose.Service, c Container) string {
	target := u.d.Targets == nil || slices.Contains(u.d.Targets, s.Name)
	switch {
	case c.State == api.StateRemoving:
		return "was half removed"
	case u.recreated[s.Name] && u.networkReplaced(s):
		return "network changed"
	case u.d.NoRecreate:
		return ""
	case u.d.ForceRecreate && target:
		return "forced"
	case u.d.AlwaysRecreateDeps && !target:
		return "forced as a dependency"
	case c.Rootless:
		return "files were removed"
	case c.ConfigHash != u.d.Hashes[s.Name]:
		return "configuration changed"
	case u.d.Digests[s.Name] != "" && c.ImageDigest != u.d.Digests[s.Name]:
		return "image changed"
	}
	for _, other := range SharedWith(s) {
		if u.recreated[other] {
			return other + " recreated"
		}
	}
	return ""
}

func (u *upPlanner) networkReplaced(s *compose.Service) bool {
	for key := range s.Networks {
		i, ok := u.objects[u.d.Project.Networks[key].Name]
		if ok && len(u.p.Ops[i].After) > 0 {
			return true
		}
	}
	return false
}

// followCause says which dependency with `restart: true` takes s along.
func (u *upPlanner) followCause(s *compose.Service) string {
	for _, dep := range slices.Sorted(maps.Keys(s.DependsOn)) {
		if s.DependsOn[dep].Restart && u.recreated[dep] {
			return dep + " recreated"
		}
	}
	return ""
}

func (u *upPlanner) orphans() {
	for _, c := range Orphans(u.d.Project, u.o.Containers) {
		u.p.add(Op{Kind: Remove, Object: c.Name, Service: c.Service, Number: c.Number, ID: c.ID, Cause: "orphan"})
	}
}

// Orphans are the containers of services that the project does not declare.
func Orphans(p *compose.Project, containers []Container) []Container {
	var out []Container
	for _, c := range containers {
		_, enabled := p.Services[c.Service]
		_, disabled := p.Disabled[c.Service]
		if !enabled && !disabled {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b Container) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
