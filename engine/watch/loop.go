package watch

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"devstack/compose"
)

// Detector finds feedback loops: a file that changes each time after a service
// was synced, executed in, restarted or rebuilt, because the service writes
// it. Only what a service can write on the host counts: paths below writable
// bind mounts. It is a function of what it is told; times are the caller's.
//
//	change, action, change, action, ...   five times in a row: suspect
//	suspect: the action is held back      a change all the same: somebody edits
//	                                      silence: the action; a change: a loop
//
// So somebody whose editor saves while he types is not taken for a loop.
type Detector struct {
	binds   []writable
	actions map[string]action
	streaks map[streakID]*streak
}

type writable struct{ service, source, target string }

type action struct {
	begun, ended time.Time // ended is zero while it is under way
}

// streakID is a service that is acted on, and what changes each time.
type streakID struct {
	service string
	what    likeness
}

// streak is how often something followed an action, without a miss.
type streak struct {
	n       int
	last    time.Time // begin of the action that was counted last
	suspect bool
}

const (
	// suspectAfter is how many times in a row are suspect.
	suspectAfter = 5
	// leastGrace is how long after the end of an action a change is taken for
	// its result. An action that took longer has twice its duration.
	leastGrace = time.Second
)

// Loop is a feedback loop that was found.
type Loop struct {
	Path    string // what the messages name
	Service string // that is acted on
	Writer  string // that shows the path to its container and can write it
	Times   int

	what likeness
}

// String says what goes on and what to do.
func (l Loop) String() string {
	return fmt.Sprintf("%s changed %d times in a row right after service %q was updated because of it: service %q writes what is watched; "+
		"it triggers nothing any more (add it to the rule's ignore, or have the service write elsewhere)", Printable(l.Path), l.Times, l.Service, l.Writer)
}

// Suspicion is what the changes of a batch look like.
type Suspicion struct {
	// Loops are those that are certain. Whoever is told mutes them (Rules.Mute)
	// and plans again.
	Loops []Loop
	// Hold are the services that are not to be acted on for a while, unless
	// there are further changes for them.
	Hold map[string]time.Duration
}

// NewDetector knows what the services of a project can write.
func NewDetector(p *compose.Project) *Detector {
	d := &Detector{actions: map[string]action{}, streaks: map[streakID]*streak{}}
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

// Changed notes the changes of a batch before its work is done.
func (d *Detector) Changed(b Batch, works []Work) Suspicion {
	out := Suspicion{Hold: map[string]time.Duration{}}
	for _, w := range works {
		a, acted := d.actions[w.Service]
		if !acted {
			continue
		}
		seen := map[likeness]bool{}
		for _, c := range w.Causes {
			for _, path := range c.Paths {
				d.path(path, w.Service, a, b.At, seen, &out)
			}
		}
	}
	d.forget(b.At)
	return out
}

// path looks at a change: whether the path is one that always changes, or one
// of many that are alike, or in a directory where something always does.
func (d *Detector) path(path, service string, a action, at time.Time, seen map[likeness]bool, out *Suspicion) {
	writer := d.writer(path, service)
	if writer == "" {
		return
	}
	for _, what := range likenesses(path) {
		if seen[what] {
			continue
		}
		seen[what] = true
		id := streakID{service, what}
		s := d.streaks[id]
		if s == nil {
			s = &streak{}
			d.streaks[id] = s
		}
		switch n := s.count(a, at, what.rounds()); {
		case n > 0:
			l := Loop{Path: what.String(), Service: service, Writer: writer, Times: n, what: what}
			if !slices.ContainsFunc(out.Loops, func(o Loop) bool { return o.Service == service && o.what.covers(path) }) {
				out.Loops = append(out.Loops, l)
			}
		case s.suspect:
			out.Hold[service] = a.grace() * 3 / 2
		}
	}
}

// writer is a service that can write a path on the host, the given one if it
// can; "" if none can.
func (d *Detector) writer(path, service string) string {
	writer := ""
	for _, w := range d.binds {
		if _, ok := Below(w.source, path); ok && (writer == "" || w.service == service) {
			writer = w.service
		}
	}
	return writer
}

// count adds a change to a streak, and gives its length once it is a loop.
func (s *streak) count(a action, at time.Time, limit int) int {
	switch follows := a.follows(at); {
	case s.suspect && !follows:
		*s = streak{n: -limit} // nothing was done, and it changed: not by the service
	case !follows:
		*s = streak{}
	case s.last.Equal(a.begun): // twice after one action is once
	default:
		s.n, s.last = s.n+1, a.begun
		if s.n > limit {
			return s.n
		}
		s.suspect = s.n == limit
	}
	return 0
}

func (a action) grace() time.Duration {
	if a.ended.IsZero() {
		return leastGrace
	}
	return max(leastGrace, 2*a.ended.Sub(a.begun))
}

// follows says whether a change may be the result of the action.
func (a action) follows(at time.Time) bool {
	return !at.Before(a.begun) && (a.ended.IsZero() || at.Sub(a.ended) <= a.grace())
}

// forget drops streaks that ended long ago: services may write under ever new
// names.
func (d *Detector) forget(at time.Time) {
	if len(d.streaks) < 1000 {
		return
	}
	for id, s := range d.streaks {
		if at.Sub(s.last) > time.Minute {
			delete(d.streaks, id)
		}
	}
}
