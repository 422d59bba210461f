package watch

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"devstack/compose"
)

// Detector finds feedback loops: a file that changes each time after a service
// was synced, executed in or restarted, because the service writes it. Only
// what a service can write on the host counts: paths below writable bind
// mounts. It is a function of what it is told; times are the caller's.
type Detector struct {
	// Limit is how many times in a row make a loop; 0 is 5.
	Limit int
	// Grace is how long after the end of an action a change is taken for its
	// result; 0 is 1 s. An action that took longer has twice its duration.
	Grace time.Duration

	binds   []writable
	actions map[string]action
	paths   map[string]*streak
}

type writable struct{ service, source, target string }

type action struct {
	begun, ended time.Time // ended is zero while it is under way
}

// streak is how often a path followed an action, without a miss.
type streak struct {
	n    int
	last time.Time // begin of the action that was counted last
}

// Loop is a feedback loop that was found.
type Loop struct {
	Path    string
	Service string // that is acted on
	Writer  string // that shows the path to its container and can write it
	Times   int
}

// String says what goes on and what to do.
func (l Loop) String() string {
	return fmt.Sprintf("%s changed %d times in a row right after service %q was updated because of it: service %q writes what is watched; "+
		"the path triggers nothing any more (add it to the rule's ignore, or have the service write elsewhere)", Printable(l.Path), l.Times, l.Service, l.Writer)
}

// NewDetector knows what the services of a project can write.
func NewDetector(p *compose.Project) *Detector {
	d := &Detector{actions: map[string]action{}, paths: map[string]*streak{}}
	for _, name := range p.ServiceNames() {
		for _, m := range p.Services[name].Volumes {
			if m.Type == compose.MountBind && !m.ReadOnly {
				d.binds = append(d.binds, writable{name, filepath.Clean(m.Source), m.Target})
			}
		}
	}
	return d
}

// Begin notes that a service is being acted on because of changes.
func (d *Detector) Begin(service string, at time.Time) { d.actions[service] = action{begun: at} }

// End notes that the action is done: the service is up again.
func (d *Detector) End(service string, at time.Time) {
	a := d.actions[service]
	a.ended = at
	d.actions[service] = a
}

// Changed notes the changes of a batch before its work is done, and gives the
// loops that they complete. Whoever is told mutes the path (Rules.Mute) and
// plans again.
func (d *Detector) Changed(b Batch, works []Work) []Loop {
	var out []Loop
	for _, w := range works {
		a, acted := d.actions[w.Service]
		if !acted {
			continue
		}
		for _, c := range w.Causes {
			for _, path := range c.Paths {
				if l, ok := d.count(path, w.Service, a, b.At); ok && !slices.Contains(out, l) {
					out = append(out, l)
				}
			}
		}
	}
	return out
}

// count adds one change of a path that acts on a service.
func (d *Detector) count(path, service string, a action, at time.Time) (Loop, bool) {
	i := slices.IndexFunc(d.binds, func(w writable) bool { _, ok := below(w.source, path); return ok })
	if i < 0 {
		return Loop{}, false
	}
	id := service + "\x00" + path
	s := d.paths[id]
	if s == nil {
		s = &streak{}
		d.paths[id] = s
	}
	if !d.follows(a, at) {
		*s = streak{}
		d.forget(at)
		return Loop{}, false
	}
	if s.last.Equal(a.begun) {
		return Loop{}, false // twice after one action is once
	}
	s.n, s.last = s.n+1, a.begun
	limit := d.Limit
	if limit == 0 {
		limit = 5
	}
	if s.n < limit {
		return Loop{}, false
	}
	writer := d.binds[i].service
	for _, w := range d.binds { // the service itself is the first suspect
		if _, ok := below(w.source, path); ok && w.service == service {
			writer = service
		}
	}
	return Loop{Path: path, Service: service, Writer: writer, Times: s.n}, true
}

// follows says whether a change may be the result of an action.
func (d *Detector) follows(a action, at time.Time) bool {
	if a.ended.IsZero() {
		return !at.Before(a.begun)
	}
	grace := d.Grace
	if grace == 0 {
		grace = time.Second
	}
	grace = max(grace, 2*a.ended.Sub(a.begun))
	return !at.Before(a.begun) && at.Sub(a.ended) <= grace
}

// forget drops paths that have not been in a row for long: services may write
// under ever new names.
func (d *Detector) forget(at time.Time) {
	if len(d.paths) < 1000 {
		return
	}
	for id, s := range d.paths {
		if at.Sub(s.last) > time.Minute {
			delete(d.paths, id)
		}
	}
}

// Mute is the rules without a path, and what is in it, for a service: what a
// feedback loop asks for.
func (r *Rules) Mute(service, path string) *Rules {
	out := &Rules{rules: slices.Clone(r.rules), model: r.model, links: r.links}
	for i, x := range out.rules {
		if x.Service != service {
			continue
		}
		if _, ok := below(x.scope.base, path); !ok {
			continue
		}
		muted := *x
		muted.scope.muted = append(slices.Clip(muted.scope.muted), strings.TrimSuffix(path, string(filepath.Separator)))
		out.rules[i] = &muted
	}
	return out
}
