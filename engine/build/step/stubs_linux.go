package step

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"devstack/engine/image/layer"
)

// stubs are the places that mounting makes in a root because they are not
// there: to be taken out again if the command put nothing in.
type stubs struct {
	places []place
}

// place is a chain of names that do not exist in the directory at parent.
type place struct {
	parent string // inside the root, without links
	names  []string
}

// findStubs looks before anything is mounted.
func findStubs(root *os.File, targets []string) stubs {
	var s stubs
	for _, t := range targets {
		if p, missing := findStub(root, path.Clean("/"+t)); missing {
			s.places = append(s.places, p)
		}
	}
	return s
}

func findStub(root *os.File, target string) (place, bool) {
	names := strings.Split(strings.Trim(target, "/"), "/")
	at, real := "/", "/"
	for i, name := range names {
		if name == "" {
			return place{}, false
		}
		f, err := openInside(root, path.Join(at, name), unix.O_PATH)
		if errors.Is(err, fs.ErrNotExist) {
			return place{real, names[i:]}, true
		}
		if err != nil {
			return place{}, false
		}
		at = path.Join(at, name)
		if link, err := os.Readlink("/proc/self/fd/" + itoa(int(f.Fd()))); err == nil && path.IsAbs(link) {
			real = link
		} else {
			real = at
		}
		f.Close()
	}
	return place{}, false
}

// remove takes out what is left empty, innermost first, and then directories
// that are only copies of the lower ones because something was made in them.
// The root must have nothing mounted in it any more.
func (s stubs) remove(root *os.File, r Root) {
	for _, p := range s.places {
		for n := len(p.names); n > 0; n-- {
			if !removeEmpty(root, path.Join(p.parent, path.Join(p.names[:n]...))) {
				break
			}
		}
	}
}

// prune runs when the root is unmounted: it works on the upper directory.
func (s stubs) prune(r Root) {
	for _, p := range s.places {
		for dir := p.parent; dir != "/"; dir = path.Dir(dir) {
			if !pruneCopy(r, dir) {
				break
			}
		}
	}
}

func removeEmpty(root *os.File, at string) bool {
	parent, err := openInside(root, path.Dir(at), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer parent.Close()
	name := path.Base(at)
	var st unix.Stat_t
	if err := unix.Fstatat(int(parent.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err == unix.ENOENT
	}
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return unix.Unlinkat(int(parent.Fd()), name, unix.AT_REMOVEDIR) == nil
	case st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == 0:
		return unix.Unlinkat(int(parent.Fd()), name, 0) == nil
	}
	return false
}

// pruneCopy removes an empty directory of upper that says nothing else than
// the one it covers.
func pruneCopy(r Root, dir string) bool {
	up := filepath.Join(r.Upper, dir)
	var mine, below unix.Stat_t
	if unix.Lstat(up, &mine) != nil || mine.Mode&unix.S_IFMT != unix.S_IFDIR {
		return false
	}
	for _, lower := range r.Lower {
		if unix.Lstat(filepath.Join(lower, dir), &below) == nil {
			break
		}
	}
	if below.Mode != mine.Mode || below.Uid != mine.Uid || below.Gid != mine.Gid || layer.IsOpaque(up) {
		return false
	}
	return os.Remove(up) == nil // fails where something is in it
}
