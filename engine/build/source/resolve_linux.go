package source

import (
	"errors"
	"path"
	"strings"
)

// maxLinks is how many links a path may lead through, as in the kernel.
const maxLinks = 40

// Resolve finds the entry that a path means, following links, also in its
// last part, as if the Tree were the root of the file system. ".." does not
// leave it. It fails with *NotFoundError.
func (t *Tree) Resolve(name string) (*Entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	todo := parts(name)
	at, links := t.top, 0
	through := "" // the last link followed
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		if part == ".." {
			if at.parent != nil {
				at = at.parent
			}
			continue
		}
		if at.Type != TypeDir {
			return nil, t.missing(name, at.Path+" is a "+at.Type.String()+", not a directory,", through)
		}
		next, err := t.find(at, part)
		if err != nil {
			var nf *NotFoundError
			if errors.As(err, &nf) {
				return nil, t.missing(name, nf.Reason, through)
			}
			return nil, err
		}
		if next.Type != TypeLink {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return nil, t.missing(name, "leads through more than 40 links", "")
		}
		target, err := t.readTarget(next)
		if err != nil {
			return nil, err
		}
		through = next.Path + " -> " + target
		todo = append(parts(target), todo...)
		if strings.HasPrefix(target, "/") {
			at = t.top
		}
	}
	return at, nil
}

func (t *Tree) missing(name, reason, through string) error {
	if through != "" {
		reason += " (through the link " + through + "; links are followed inside only)"
	}
	return &NotFoundError{t.name, name, reason}
}

// find is the child of that name. A directory that cannot be listed is an
// error; a name that the ignore file hides says so.
func (t *Tree) find(dir *Entry, name string) (*Entry, error) {
	if err := t.load(dir); err != nil {
		return nil, err
	}
	lo, hi := 0, len(dir.children)
	for lo < hi {
		if mid := (lo + hi) / 2; dir.children[mid].Name < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(dir.children) && dir.children[lo].Name == name {
		c := dir.children[lo]
		if ok, err := t.shows(c); ok || err != nil {
			return c, err
		}
	}
	p := path.Join(dir.Path, name)
	if ignored, err := t.ignore.Ignores(p); err == nil && ignored {
		return nil, &NotFoundError{t.name, p, "is excluded by the ignore file and so is not"}
	}
	return nil, &NotFoundError{t.name, p, "not found"}
}

func parts(p string) []string {
	out := strings.Split(p, "/")
	keep := out[:0]
	for _, part := range out {
		if part != "" && part != "." {
			keep = append(keep, part)
		}
	}
	return keep
}
