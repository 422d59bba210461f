package notify

import (
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"devstack/engine/watch"
)

// noSpace says whether the kernel's limit on watches was reached.
func noSpace(err error) bool { return errors.Is(err, syscall.ENOSPC) }

// absorb looks at all that events named and brings the index up to date. It
// gives how long to wait for what is gone or empty to come back, and how long
// for what is being written, which holds up nothing else; those paths are
// still to be looked at.
func (w *Watcher) absorb(now time.Time) (wait, written time.Duration) {
	w.scan.now = now
	if w.all {
		w.lookAtAll()
		return 0, 0
	}
	few := len(w.dirty) <= 64
	for r, s := range w.lost {
		if age := now.Sub(s.since); few && age < returns && r.real != "" && locate(r.Path, w.o.Base).real == "" {
			wait = max(wait, returns-age)
			continue
		}
		delete(w.lost, r)
		w.locate(r, s.deep)
	}
	// What may be another directory by now has its watches dropped before
	// anything gets new ones: a directory that was moved has one watch only.
	paths := slices.Sorted(maps.Keys(w.dirty))
	for _, p := range paths {
		if w.dirty[p].deep {
			w.each(p, func(r *root, rel string) {
				if d := r.dir(rel); d != nil && rel != "" {
					w.scan.drop(r, rel, d)
				}
			})
		}
	}
	for _, p := range paths {
		s := w.dirty[p]
		age := now.Sub(s.since)
		patient := patience{
			back:    few && age < returns,
			written: few && age < longestWrite && now.Sub(s.last) < writeQuiet,
		}
		did := looked
		w.each(p, func(r *root, rel string) {
			if rel == "" && r.kind == watch.Dir {
				return // locate has looked at it
			}
			if was, changed := w.before[spot{r, rel}]; changed && was.kind == 0 {
				patient.back = false // nobody has heard of it yet
			}
			did = max(did, w.scan.look(r, rel, s.deep, patient))
		})
		switch did {
		case mayBack:
			wait = max(wait, returns-age)
		case busy:
			written = writePause
			s.waited = true
			w.dirty[p] = s
		default:
			delete(w.dirty, p)
			if s.waited {
				w.stillOpen(p, now)
			}
		}
	}
	return wait, written
}

// each finds a real path in the roots.
func (w *Watcher) each(real string, visit func(r *root, rel string)) {
	for _, r := range w.roots {
		if rel, ok := r.rel(real); ok {
			visit(r, rel)
		}
	}
}

// locate finds out where a root is, and looks at all of it if that is not
// where it was, or deep is set: an inode's number may have been used again.
func (w *Watcher) locate(r *root, deep bool) {
	for try := range 5 {
		p := locate(r.Path, w.o.Base)
		moved := deep || p.real != r.real || p.kind != r.kind || p.id != r.id
		if moved && r.kind == watch.Dir {
			if d := r.top.child(""); d != nil {
				w.scan.drop(r, "", d)
			}
		}
		if w.anchor(r, p.anchors) && try < 4 {
			continue // something may have happened before it was watched
		}
		r.real, r.kind, r.id = p.real, p.kind, p.id
		switch {
		case p.real == "":
			w.scan.gone(r, &r.top, "", "")
			r.gitLock = ""
		case moved:
			dir := p.real
			if p.kind != watch.Dir {
				dir = filepath.Dir(dir)
			}
			r.gitLock = gitLock(dir)
			w.scan.look(r, "", true, patience{})
		case p.kind == watch.File:
			if _, ok := w.dirty[p.real]; !ok {
				w.scan.look(r, "", false, patience{})
			}
		default:
			w.scan.look(r, "", false, patience{})
		}
		return
	}
}

// anchor watches the directories that decide where a root is, and says whether
// one of them is new.
func (w *Watcher) anchor(r *root, anchors []anchor) (isNew bool) {
	for _, a := range r.anchors {
		w.anchors[a] = slices.DeleteFunc(w.anchors[a], func(o *root) bool { return o == r })
		if len(w.anchors[a]) == 0 {
			delete(w.anchors, a)
		}
	}
	old := r.anchors
	r.anchors = anchors
	for _, a := range anchors {
		w.anchors[a] = append(w.anchors[a], r)
		if w.fs == nil {
			continue
		}
		if err := w.fs.Add(a.dir); noSpace(err) {
			w.limited(a.dir)
		}
		if !slices.Contains(old, a) {
			isNew = true
		}
	}
	for _, a := range old {
		w.release(a.dir)
	}
	return isNew
}

// release ends the watch of a directory that no root needs any more.
func (w *Watcher) release(dir string) {
	if w.fs == nil {
		return
	}
	for a := range w.anchors {
		if a.dir == dir {
			return
		}
	}
	for _, r := range w.roots {
		if rel, ok := r.rel(dir); ok && r.get(rel).kind == watch.Dir {
			return
		}
	}
	_ = w.fs.Remove(dir)
}

// lookAtAll begins again with a watcher that has no past: after an overflow
// nobody knows what the old one watches.
func (w *Watcher) lookAtAll() {
	w.all, w.rescan = false, true
	if old := w.fs; old != nil {
		_ = old.Close()
	}
	w.connect()
	clear(w.dirty)
	clear(w.lost)
	clear(w.open)
	for _, r := range w.roots {
		for _, a := range r.anchors {
			delete(w.anchors, a)
		}
		r.anchors = nil
		r.real, r.kind, r.id = "", 0, fileID{} // so that it is looked at
		w.forgetWatches(&r.top)
	}
	for _, r := range w.roots {
		w.locate(r, false)
	}
	w.grew = false
}

func (w *Watcher) forgetWatches(d *dir) {
	d.watched = false
	for _, c := range d.dirs {
		w.forgetWatches(c)
	}
}

// poll compares the directories that the kernel does not watch.
func (w *Watcher) poll() {
	begin := time.Now()
	w.scan.now = begin
	w.limit = false
	for _, r := range w.roots {
		w.locate(r, false)
		if d := r.top.child(""); d != nil {
			w.pollBelow(r, "", d)
		}
	}
	w.rescan = true
	w.burst.note(begin)
	w.lastPoll = time.Since(begin)
}

func (w *Watcher) pollBelow(r *root, rel string, d *dir) {
	if !d.watched {
		quiet := w.o.Notice
		w.o.Notice = nil // once was enough
		w.watch(r.at(rel), d)
		w.o.Notice = quiet
		w.limit = w.limit || !d.watched
		w.scan.compare(r, rel, d)
	}
	for _, c := range slices.Clone(d.dirs) {
		w.pollBelow(r, join(rel, c.name), c)
	}
}

// pollPause keeps comparing from taking more than a small part of a processor.
func (w *Watcher) pollPause() time.Duration { return max(w.o.Poll, 20*w.lastPoll) }
