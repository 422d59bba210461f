package watch

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"

	"devstack/compose"
)

// Work is what a batch means for one service. Who carries it out goes in this
// order: Rebuild (then Ops for the new containers, which are PlanAll's),
// Ops, Exec, Restart.
type Work struct {
	Service string
	Rebuild bool
	Restart bool
	Ops     []Op
	Exec    []Exec
	Causes  []Cause // in the order of the rules
}

// Op makes one path of a container equal to a path of the host: file,
// directory, symlink, or nothing if the host has nothing there any more. So
// it may be done late, twice, or after others.
type Op struct {
	Source string // host, absolute
	Target string // container, absolute
	// Follow says that Source is the path of a rule: what it leads to is copied
	// if it is a symlink.
	Follow bool
	// Keep says of a path below Target (relative, with "/") that it is not the
	// rule's: removing a directory leaves it. nil: nothing is kept.
	Keep func(rel string) bool
	// Perm gives the mode of a file or directory in the container, out of its
	// mode on the host and that of what is there, 0 if nothing is. nil: the
	// host's.
	Perm Perm
}

// Perm is how Op says it.
type Perm func(host, there uint32, dir bool) uint32

// Exec is a command of a sync+exec rule, to run once in each container.
type Exec struct {
	Rule *Rule
	Hook *compose.Hook
}

// Cause is a rule that was triggered, with the paths that did it.
type Cause struct {
	Rule  *Rule
	Paths []string
}

// Plan says what a batch means, by service in alphabetical order. Directories
// are copied and removed but trigger nothing else.
func (r *Rules) Plan(b Batch) []Work {
	works := map[string]*planned{}
	for _, x := range r.rules {
		for _, c := range b.Changes {
			if v, _ := x.scope.judge(c.Path); v != matched || !x.concerns(c) {
				continue
			}
			w := works[x.Service]
			if w == nil {
				w = &planned{Work: Work{Service: x.Service}, seen: map[[2]string]bool{}}
				works[x.Service] = w
			}
			w.add(x, c)
		}
	}
	out := make([]Work, 0, len(works))
	for _, name := range slices.Sorted(maps.Keys(works)) {
		w := works[name].Work
		slices.SortFunc(w.Ops, func(a, b Op) int { return cmp.Compare(a.Target, b.Target) })
		out = append(out, w)
	}
	return out
}

// concerns says whether a kind of change means anything to the rule.
func (x *Rule) concerns(c Change) bool {
	if c.Kind != Dir {
		return true
	}
	// The directory of the rule itself is the container's: it is never removed.
	return x.Syncs() && c.Path != x.scope.base
}

// planned is Work being put together.
type planned struct {
	Work
	seen map[[2]string]bool
}

func (w *planned) add(x *Rule, c Change) {
	if x.Syncs() {
		w.op(x, c.Path)
	}
	if c.Kind != Dir {
		w.Rebuild = w.Rebuild || x.Action == Rebuild
		w.Restart = w.Restart || x.Restarts()
		if x.Action == SyncExec && !slices.ContainsFunc(w.Exec, func(e Exec) bool { return e.Rule == x }) {
			w.Exec = append(w.Exec, Exec{x, x.Exec})
		}
	}
	if n := len(w.Causes); n == 0 || w.Causes[n-1].Rule != x {
		w.Causes = append(w.Causes, Cause{Rule: x})
	}
	last := &w.Causes[len(w.Causes)-1]
	last.Paths = append(last.Paths, c.Path)
}

func (w *planned) op(x *Rule, path string) {
	target := x.target(path)
	if at := [2]string{path, target}; !w.seen[at] {
		w.seen[at] = true
		w.Ops = append(w.Ops, Op{Source: path, Target: target, Follow: path == x.scope.base, Keep: x.keep(path), Perm: x.perm})
	}
}

// keep spares what the rule does not copy when a directory goes.
func (x *Rule) keep(dir string) func(string) bool {
	return func(rel string) bool {
		v, _ := x.scope.judge(filepath.Join(dir, filepath.FromSlash(rel)))
		return v != matched && v != temporary
	}
}

// PlanAll is everything that the rules of a service copy, out of the paths
// that there are (see Watcher.All): for a container whose tree is not known,
// whether they ask for initial_sync or not.
func (r *Rules) PlanAll(service string, paths []string) []Op {
	w := planned{seen: map[[2]string]bool{}}
	var rules []*Rule
	for _, x := range r.Of(service) {
		if x.Syncs() {
			rules = append(rules, x)
		}
	}
	if len(rules) == 0 {
		return nil
	}
	for _, p := range paths {
		for _, x := range rules {
			if v, _ := x.scope.judge(p); v == matched && (p != x.scope.base || x.scope.file) {
				w.op(x, p)
			}
		}
	}
	slices.SortFunc(w.Ops, func(a, b Op) int { return cmp.Compare(a.Target, b.Target) })
	return w.Ops
}
