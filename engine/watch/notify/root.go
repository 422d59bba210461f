package notify

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"devstack/engine/watch"
)

// root is one watched root with its index.
type root struct {
	watch.Root
	// top holds the root itself under the name "".
	top dir
	// real is where the root is, with every symlink resolved; "" if there is
	// nothing.
	real string
	kind watch.Kind
	id   fileID
	// anchors are the names that decide where the root is: its own, and those
	// of the symlinks that lead to it.
	anchors []anchor
	gitLock string // of the repository that the root is in; "" if none
	fresh   bool   // nothing is known of it: what is there is how it begins
	known   bool   // the state names it
}

// anchor is a name in a directory, which is a real path.
type anchor struct{ dir, name string }

// fileID tells a directory from another that has its name.
type fileID struct{ dev, ino uint64 }

// rel is a path of the index for one of the file system.
func (r *root) rel(real string) (string, bool) {
	if r.real == "" {
		return "", false
	}
	return watch.Below(r.real, real)
}

// at is the path of the file system for one of the index.
func (r *root) at(rel string) string { return filepath.Join(r.real, filepath.FromSlash(rel)) }

// shown is the path of the index as changes give it: below the root as it was
// named.
func (r *root) shown(rel string) string { return filepath.Join(r.Path, filepath.FromSlash(rel)) }

func (r *root) skips(rel string, dir bool) bool { return r.Skip != nil && r.Skip(rel, dir) }

// get finds an entry of the index.
func (r *root) get(rel string) entry {
	d, name := r.parent(rel)
	if d == nil {
		return entry{}
	}
	return d.get(name)
}

// parent finds the directory that holds a path, nil if it is not known.
func (r *root) parent(rel string) (*dir, string) {
	if rel == "" {
		return &r.top, ""
	}
	d := r.top.child("")
	for d != nil {
		name, rest, more := strings.Cut(rel, "/")
		if !more {
			return d, name
		}
		d, rel = d.child(name), rest
	}
	return nil, ""
}

// dir finds a directory of the index, nil if there is none.
func (r *root) dir(rel string) *dir {
	parent, name := r.parent(rel)
	if parent == nil {
		return nil
	}
	return parent.child(name)
}

// place is where a root is at the moment.
type place struct {
	real    string
	kind    watch.Kind
	id      fileID
	anchors []anchor
}

// locate follows a path through its symlinks. What is missing is anchored at
// the nearest directory that exists; directories below base are anchored, too.
func locate(path, base string) place {
	var p place
	at := string(filepath.Separator)
	todo := strings.Split(strings.Trim(filepath.ToSlash(path), "/"), "/")
	if vol := filepath.VolumeName(path); vol != "" {
		at, todo = vol+at, todo[1:]
	}
	for links := 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, name)
		info, err := os.Lstat(next)
		if err != nil {
			if !errors.Is(err, fs.ErrPermission) {
				p.anchors = append(p.anchors, anchor{at, name})
			}
			return p
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			p.anchors = append(p.anchors, anchor{at, name})
			to, err := os.Readlink(next)
			if links++; err != nil || links > 40 {
				return p
			}
			if filepath.IsAbs(to) {
				at = filepath.VolumeName(to) + string(filepath.Separator)
				to = to[len(filepath.VolumeName(to)):]
			}
			todo = append(strings.Split(filepath.ToSlash(to), "/"), todo...)
			continue
		}
		if len(todo) == 0 || base != "" && (at == base || strings.HasPrefix(at, base+"/")) {
			p.anchors = append(p.anchors, anchor{at, name})
		}
		if len(todo) > 0 && !info.IsDir() {
			return p
		}
		at = next
	}
	info, err := os.Stat(at)
	if err != nil {
		return p
	}
	p.real, p.id = at, idOf(info)
	switch {
	case info.IsDir():
		p.kind = watch.Dir
	case info.Mode().IsRegular():
		p.kind = watch.File
	default:
		p.real = ""
	}
	return p
}

// gitLock finds the lock of the repository that a directory is in.
func gitLock(dir string) string {
	for {
		git := filepath.Join(dir, ".git")
		if info, err := os.Lstat(git); err == nil {
			if info.IsDir() {
				return filepath.Join(git, "index.lock")
			}
			text, err := os.ReadFile(git) // of a worktree or submodule
			to, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "gitdir: ")
			if err != nil || !ok {
				return ""
			}
			if !filepath.IsAbs(to) {
				to = filepath.Join(dir, to)
			}
			return filepath.Join(to, "index.lock")
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}
