package notify

import (
	"cmp"
	"io/fs"
	"maps"
	"slices"
	"time"

	"devstack/engine/watch"
)

// prepare makes a batch of what is different from what was reported last. A
// batch that nobody has taken is made again, with both.
func (w *Watcher) prepare() {
	b := watch.Batch{At: w.burst.first, Rescan: w.rescan, Initial: w.initial}
	was := w.before
	if w.ready != nil {
		was = w.unreported()
		w.state.forget(w.ready.batch.ID)
		b.At = w.ready.batch.At
		b.Rescan = b.Rescan || w.ready.batch.Rescan
		b.Initial = b.Initial || w.ready.batch.Initial
		w.ready = nil
	}
	w.before, w.burst, w.rescan, w.initial = map[spot]entry{}, burst{}, false, false
	var records []record
	for at, old := range was {
		now := at.root.get(at.rel)
		if c, ok := change(old, now); ok {
			c.Path = at.root.shown(at.rel)
			b.Changes = append(b.Changes, c)
			records = append(records, record{c.Path, now})
		} else {
			delete(was, at)
		}
	}
	if len(b.Changes) == 0 {
		return
	}
	slices.SortFunc(b.Changes, func(x, y watch.Change) int { return cmp.Compare(x.Path, y.Path) })
	w.lastID++
	b.ID = w.lastID
	w.state.reported(b.ID, records, was)
	w.ready = &prepared{batch: b, was: was}
	if w.state.grown() {
		w.state.save(w.roots, was)
	}
}

// unreported is what changed paths were before the changes that nobody has
// taken yet.
func (w *Watcher) unreported() map[spot]entry {
	if w.ready == nil {
		return w.before
	}
	was := maps.Clone(w.ready.was)
	for at, e := range w.before {
		if _, ok := was[at]; !ok {
			was[at] = e
		}
	}
	return was
}

// change says what became of a path.
func change(old, now entry) (watch.Change, bool) {
	c := watch.Change{Kind: now.kind, Mode: fs.FileMode(now.mode)}
	switch {
	case old.kind == 0 && now.kind == 0:
		return c, false
	case now.kind == 0:
		c.Event, c.Kind = watch.Removed, old.kind
	case old.kind != now.kind:
		c.Event = watch.Created
	case !old.sameContent(now):
		c.Event = watch.Written
	case old.mode != now.mode:
		c.Event = watch.ModeChanged
	default:
		return c, false
	}
	return c, true
}

// hashJob is a directory whose files were not read when they were found.
type hashJob struct {
	root *root
	rel  string
	dir  *dir
}

// enqueue has the files of a fresh root read when there is time.
func (w *Watcher) enqueue(r *root) {
	var add func(rel string, d *dir)
	add = func(rel string, d *dir) {
		if len(d.files) > 0 {
			w.hashing = append(w.hashing, hashJob{r, rel, d})
		}
		for _, c := range d.dirs {
			add(join(rel, c.name), c)
		}
	}
	add("", &r.top)
}

// idle is ready while there are files to read.
func (w *Watcher) idle() <-chan struct{} {
	if len(w.hashing) == 0 {
		return nil
	}
	c := make(chan struct{})
	close(c)
	return c
}

// hashSome reads files for a moment.
func (w *Watcher) hashSome() {
	end := time.Now().Add(2 * time.Millisecond)
	for len(w.hashing) > 0 && time.Now().Before(end) {
		job := &w.hashing[len(w.hashing)-1]
		rest := false
		for i := range job.dir.files {
			e := &job.dir.files[i]
			if e.hash.known() {
				continue
			}
			if rest = !time.Now().Before(end); rest {
				break
			}
			w.hashOne(job, e)
		}
		if !rest {
			w.hashing = w.hashing[:len(w.hashing)-1]
		}
	}
	if len(w.hashing) == 0 {
		w.hashing = nil
		w.state.save(w.roots, w.unreported()) // with what was read
	}
}

// hashOne reads a file that is as it was found.
func (w *Watcher) hashOne(job *hashJob, e *entry) {
	path := job.root.at(join(job.rel, e.name))
	m, err := lstat(path)
	if err == nil && m.stat == e.stat {
		var sum digest
		if sum, err = w.scan.sum(path, m); err == nil {
			if m, err = lstat(path); err == nil && m.stat == e.stat {
				e.hash = sum
				return
			}
		}
	}
	e.hash = unknowable // it changed: there is an event for that
}
