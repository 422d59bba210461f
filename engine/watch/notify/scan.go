package notify

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"devstack/engine/watch"
)

// scanner compares the file system with the index and brings the index up to
// date. It is the watcher's only way to find changes.
type scanner struct {
	hasher
	now time.Time
	// was takes what a path was before it changed.
	was func(r *root, rel string, e entry)
	// since is from when on files of which nothing is known are changes, which
	// late takes.
	since time.Time
	late  func(r *root, rel string)
	// watch is called before a directory is read, so that whatever comes after
	// that is an event; unwatch for each that is gone.
	watch, unwatch func(real string, d *dir)
	// added is called for each directory that is new.
	added func()
	// unreadable is told of directories that cannot be read.
	unreadable func(real string, err error)
}

// outcome is what look did.
type outcome uint8

const (
	looked  outcome = iota
	mayBack         // gone or empty, and may come back: nothing was done
	busy            // being written: nothing was done
)

// patience is what look waits for.
type patience struct {
	back    bool // that what is gone or empty comes back
	written bool // that what is open for writing is closed
}

// look brings one path up to date, with all that is in it if it was not a
// directory or deep is set.
func (s *scanner) look(r *root, rel string, deep bool, p patience) outcome {
	parent, name := r.parent(rel)
	if parent == nil {
		return looked // a directory above is new or gone: there is an event for it
	}
	real := r.at(rel)
	m, err := lstat(real)
	if rel == "" && err == nil && m.kind == watch.Symlink {
		m, err = meta{}, fs.ErrNotExist // the root was replaced by a link: it is located again
	}
	old := parent.get(name)
	if err != nil || m.kind == 0 {
		if p.back && old.kind != 0 {
			return mayBack
		}
		s.gone(r, parent, rel, name)
		return looked
	}
	if rel != "" && r.skips(rel, m.kind == watch.Dir) {
		s.gone(r, parent, rel, name)
		return looked
	}
	if m.kind == watch.Dir {
		d := s.dir(r, parent, rel, name, m)
		// One that is not watched may have been unreadable.
		if deep || old.kind != watch.Dir || !d.watched && old.mode != m.mode {
			s.scan(r, rel, d)
		}
		return looked
	}
	if p.back && m.kind == watch.File && m.size == 0 && old.kind == watch.File && old.hash.known() && !old.hash.empty() {
		return mayBack
	}
	if p.written && m.kind == watch.File && old.stat != m.stat && beingWritten(real) {
		return busy
	}
	s.file(r, parent, rel, name, m)
	return looked
}

// dir notes a directory.
func (s *scanner) dir(r *root, parent *dir, rel, name string, m meta) *dir {
	old := parent.get(name)
	if old.kind != watch.Dir {
		if old.kind != 0 {
			s.gone(r, parent, rel, name)
		} else {
			s.was(r, rel, entry{})
		}
		d := parent.addDir(name)
		d.mode = m.mode
		s.added()
		return d
	}
	d := parent.child(name)
	if d.mode != m.mode {
		s.was(r, rel, old)
		d.mode = m.mode
	}
	return d
}

// file compares a file or symlink with what it was.
func (s *scanner) file(r *root, parent *dir, rel, name string, m meta) {
	old := parent.get(name)
	if old.kind == watch.Dir {
		s.gone(r, parent, rel, name)
		old = entry{}
	}
	if old.kind == m.kind && old.stat == m.stat && old.mode == m.mode && !old.racy {
		return
	}
	e := entry{name: name, kind: m.kind, mode: m.mode, stat: m.stat, racy: m.racy(s.now)}
	if !r.fresh || e.racy { // others are read when there is time
		var err error
		if e.hash, err = s.sum(r.at(rel), m); err != nil {
			return // gone or replaced meanwhile: there is an event for that
		}
	}
	if !old.same(e) {
		s.was(r, rel, old)
	}
	if r.fresh && !s.since.IsZero() && m.changed.After(s.since) {
		s.late(r, rel)
	}
	parent.setFile(e)
}

// gone takes a path out of the index, with all that was in it.
func (s *scanner) gone(r *root, parent *dir, rel, name string) {
	old := parent.get(name)
	if old.kind == 0 {
		return
	}
	s.was(r, rel, old)
	if d := parent.child(name); d != nil {
		s.drop(r, rel, d)
		d.walk(rel, func(p string, e entry) bool {
			s.was(r, p, e)
			return true
		})
	}
	parent.drop(name)
}

// drop ends the watches of a directory and all in it.
func (s *scanner) drop(r *root, rel string, d *dir) {
	s.unwatch(r.at(rel), d)
	for _, c := range d.dirs {
		s.drop(r, join(rel, c.name), c)
	}
}

// scan reads a directory and all that is in it.
func (s *scanner) scan(r *root, rel string, d *dir) {
	s.watch(r.at(rel), d)
	s.compare(r, rel, d)
	for _, c := range slices.Clone(d.dirs) {
		s.scan(r, join(rel, c.name), c)
	}
}

// compare is scan for the directory alone.
func (s *scanner) compare(r *root, rel string, d *dir) {
	found, err := s.read(r, rel)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) { // for that there is an event
			s.unreadable(r.at(rel), err)
		}
		return // what was in it is taken to be there still
	}
	s.merge(r, rel, d, found)
}

// sight is a name with what it is.
type sight struct {
	name string
	meta meta
}

// read gives what is in a directory and not skipped, sorted by name.
func (s *scanner) read(r *root, rel string) ([]sight, error) {
	f, err := os.Open(r.at(rel))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []sight
	for {
		names, err := f.ReadDir(512)
		for _, e := range names {
			t := e.Type()
			if t != 0 && t != fs.ModeDir && t != fs.ModeSymlink {
				continue
			}
			if r.skips(join(rel, e.Name()), t == fs.ModeDir) {
				continue
			}
			m, err := lstatAt(f, e.Name())
			switch {
			case err == nil && m.kind != 0:
				out = append(out, sight{e.Name(), m})
			case err != nil && !errors.Is(err, fs.ErrNotExist):
				return nil, err
			}
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if len(names) == 0 {
			break
		}
	}
	slices.SortFunc(out, func(a, b sight) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

// merge compares what is in a directory with what was: what is gone first, so
// that a directory that was moved has lost its old watch before it gets one.
func (s *scanner) merge(r *root, rel string, d *dir, found []sight) {
	has := func(name string) bool {
		_, ok := slices.BinarySearchFunc(found, name, func(e sight, n string) int { return strings.Compare(e.name, n) })
		return ok
	}
	var missing []string
	for _, e := range d.files {
		if !has(e.name) {
			missing = append(missing, e.name)
		}
	}
	for _, c := range d.dirs {
		if !has(c.name) {
			missing = append(missing, c.name)
		}
	}
	for _, name := range missing {
		s.gone(r, d, join(rel, name), name)
	}
	if len(d.files) == 0 {
		d.files = make([]entry, 0, count(found, watch.File)+count(found, watch.Symlink))
		d.dirs = slices.Grow(d.dirs, count(found, watch.Dir))
	}
	for _, e := range found {
		path := join(rel, e.name)
		if e.meta.kind == watch.Dir {
			s.dir(r, d, path, e.name, e.meta)
		} else {
			s.file(r, d, path, e.name, e.meta)
		}
	}
}

func count(found []sight, kind watch.Kind) int {
	n := 0
	for _, e := range found {
		if e.meta.kind == kind {
			n++
		}
	}
	return n
}
