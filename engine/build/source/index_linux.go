package source

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Children are the entries of a directory by name, without those that are
// ignored.
func (t *Tree) Children(e *Entry) ([]*Entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.load(e); err != nil {
		return nil, err
	}
	all := e.children
	for i, c := range all {
		if !c.hidden {
			continue
		}
		shown := append([]*Entry(nil), all[:i]...)
		for _, c := range all[i:] {
			ok, err := t.shows(c)
			if err != nil {
				return nil, err
			}
			if ok {
				shown = append(shown, c)
			}
		}
		return shown, nil
	}
	return all, nil
}

// shows says whether an entry exists for the build: an ignored directory does
// if something in it is excepted.
func (t *Tree) shows(e *Entry) (bool, error) {
	if !e.hidden {
		return true, nil
	}
	if e.looked {
		return e.visible, nil
	}
	if err := t.load(e); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return false, nil
		}
		return false, err
	}
	for _, c := range e.children {
		ok, err := t.shows(c)
		if err != nil {
			return false, err
		}
		if ok {
			e.visible = true
			break
		}
	}
	e.looked = true
	return e.visible, nil
}

func (t *Tree) load(e *Entry) error {
	if e.loaded || e.Type != TypeDir {
		return nil
	}
	dir, err := t.OpenDir(e)
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.ReadDir(-1)
	if err != nil {
		return fmt.Errorf("read directory %q of %s: %w", e.Path, t.name, bare(err))
	}
	children := make([]*Entry, 0, len(names))
	for _, d := range names {
		c, err := t.child(int(dir.Fd()), e, d)
		if err != nil {
			return err
		}
		if c != nil {
			children = append(children, c)
		}
	}
	slices.SortFunc(children, func(a, b *Entry) int { return strings.Compare(a.Name, b.Name) })
	e.children, e.loaded = children, true
	return nil
}

// child looks at one name of a directory; nil: it does not exist for the
// build. Sockets never do: editors and servers leave them about.
func (t *Tree) child(dir int, e *Entry, d fs.DirEntry) (*Entry, error) {
	path := d.Name()
	if e.Path != "" {
		path = e.Path + "/" + path
	}
	hidden, state, err := t.ignore.Match(path, e.state)
	if err != nil {
		return nil, err
	}
	if hidden && (!d.IsDir() || !t.ignore.MayHold(path)) || d.Type() == fs.ModeSocket {
		return nil, nil
	}
	var st unix.Stat_t
	err = unix.Fstatat(dir, d.Name(), &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT {
		return nil, nil // gone since it was listed
	}
	if err != nil {
		return nil, t.fault("stat", path, err)
	}
	c := t.entry(path, d.Name(), &st)
	if c.Type == TypeSocket {
		return nil, nil
	}
	c.parent, c.hidden, c.state = e, hidden, state
	return c, nil
}
