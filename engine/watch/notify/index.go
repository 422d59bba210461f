package notify

import (
	"cmp"
	"slices"
	"strings"

	"devstack/engine/watch"
)

// entry is what was last seen of a file, a symlink or a directory, in 48 bytes
// and its name. The zero entry is nothing there.
type entry struct {
	name string
	hash digest // of the content; zero: not read yet
	stat uint64 // fingerprint of size, times and inode; 0 for directories
	mode uint16 // permissions
	kind watch.Kind
	// racy says that the file was hashed so soon after its last change that
	// another change may have left the same times.
	racy bool
}

// dir is a directory of the index.
type dir struct {
	name    string
	mode    uint16
	watched bool // by the kernel; else it is compared in intervals
	id      fileID
	files   []entry
	dirs    []*dir // both sorted by name
}

func (d *dir) entry() entry { return entry{name: d.name, mode: d.mode, kind: watch.Dir} }

func (d *dir) findFile(name string) (int, bool) {
	return slices.BinarySearchFunc(d.files, name, func(e entry, n string) int { return cmp.Compare(e.name, n) })
}

func (d *dir) findDir(name string) (int, bool) {
	return slices.BinarySearchFunc(d.dirs, name, func(e *dir, n string) int { return cmp.Compare(e.name, n) })
}

// child is the directory of that name, or nil.
func (d *dir) child(name string) *dir {
	if i, ok := d.findDir(name); ok {
		return d.dirs[i]
	}
	return nil
}

// get is what a name is; the zero entry if there is nothing.
func (d *dir) get(name string) entry {
	if i, ok := d.findFile(name); ok {
		return d.files[i]
	}
	if c := d.child(name); c != nil {
		return c.entry()
	}
	return entry{}
}

// setFile puts a file in, in place of what has its name.
func (d *dir) setFile(e entry) {
	i, ok := d.findFile(e.name)
	if ok {
		e.name = d.files[i].name
		d.files[i] = e
		return
	}
	e.name = strings.Clone(e.name)
	d.files = slices.Insert(d.files, i, e)
}

// addDir gives the directory of that name, which is made if need be.
func (d *dir) addDir(name string) *dir {
	i, ok := d.findDir(name)
	if !ok {
		d.dirs = slices.Insert(d.dirs, i, &dir{name: strings.Clone(name)})
	}
	return d.dirs[i]
}

// drop takes a name out.
func (d *dir) drop(name string) {
	if i, ok := d.findFile(name); ok {
		d.files = slices.Delete(d.files, i, i+1)
	}
	if i, ok := d.findDir(name); ok {
		d.dirs = slices.Delete(d.dirs, i, i+1)
	}
}

// walk visits all that is below the directory, with paths below prefix,
// directories before what is in them.
func (d *dir) walk(prefix string, visit func(path string, e entry) bool) bool {
	for _, f := range d.files {
		if !visit(join(prefix, f.name), f) {
			return false
		}
	}
	for _, c := range d.dirs {
		p := join(prefix, c.name)
		if !visit(p, c.entry()) || !c.walk(p, visit) {
			return false
		}
	}
	return true
}

// join is for clean paths; an empty name is the path itself.
func join(dir, name string) string {
	switch {
	case name == "":
		return dir
	case dir == "":
		return name
	case strings.HasSuffix(dir, "/"):
		return dir + name
	}
	return dir + "/" + name
}

// same says whether two sights of a path are of the same thing. Content that
// was never read is taken for different unless nothing at all has changed.
func (e entry) same(o entry) bool {
	if e.kind != o.kind || e.mode != o.mode {
		return false
	}
	return e.sameContent(o)
}

func (e entry) sameContent(o entry) bool {
	switch {
	case e.kind != o.kind:
		return false
	case e.kind == watch.Dir || e.kind == 0:
		return true
	case e.hash.known() && o.hash.known():
		return e.hash == o.hash
	}
	return e.stat == o.stat
}
