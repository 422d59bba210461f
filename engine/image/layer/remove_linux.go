package layer

import (
	"errors"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// RemoveTree removes base in the directory dirfd with everything beneath. It
// follows no symbolic link and enters no mount, so nothing outside is ever
// touched, whatever the tree holds.
func RemoveTree(dirfd int, base string) error {
	r := remover{top: dirfd, base: base}
	err := r.remove(dirfd, base, 0)
	for len(r.moved) > 0 && err == nil {
		next := r.moved[0]
		r.moved = r.moved[1:]
		err = r.remove(dirfd, next, 0)
	}
	return err
}

// maxDepth bounds the directories that are open at a time. What lies deeper
// is moved next to the top and removed from there.
const maxDepth = 100

type remover struct {
	top   int
	base  string
	moved []string // names at the top
	count int
}

func (r *remover) remove(dirfd int, base string, depth int) error {
	err := unix.Unlinkat(dirfd, base, 0)
	if err == nil || err == unix.ENOENT {
		return nil
	}
	if err != unix.EISDIR && err != unix.EPERM {
		return &os.PathError{Op: "remove", Path: base, Err: err}
	}
	err = unix.Unlinkat(dirfd, base, unix.AT_REMOVEDIR)
	switch {
	case err == nil || err == unix.ENOENT:
		return nil // empty, as most are
	case err != unix.ENOTEMPTY && err != unix.EEXIST:
		return &os.PathError{Op: "remove", Path: base, Err: err}
	case depth >= maxDepth:
		return r.surface(dirfd, base)
	}
	if err := r.removeChildren(dirfd, base, depth); err != nil {
		return err
	}
	if err := unix.Unlinkat(dirfd, base, unix.AT_REMOVEDIR); err != nil && err != unix.ENOENT {
		return &os.PathError{Op: "remove", Path: base, Err: err}
	}
	return nil
}

// surface moves a directory that lies too deep to the top.
func (r *remover) surface(dirfd int, base string) error {
	r.count++
	name := ".deep-" + strconv.Itoa(r.count) + "-" + strconv.Itoa(os.Getpid())
	if len(r.base) < 200 {
		name = r.base + name // whoever sweeps the top sees whose it was
	}
	if err := unix.Renameat2(dirfd, base, r.top, name, unix.RENAME_NOREPLACE); err != nil {
		return &os.PathError{Op: "remove", Path: base, Err: err}
	}
	r.moved = append(r.moved, name)
	return nil
}

// removeChildren lists again until nothing is left: some file systems skip
// entries when others vanish under a listing.
func (r *remover) removeChildren(dirfd int, base string, depth int) error {
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	}
	fd, err := unix.Openat2(dirfd, base, &how)
	if err != nil {
		return &os.PathError{Op: "remove", Path: base, Err: err}
	}
	dir := os.NewFile(uintptr(fd), base)
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(1024)
		if len(names) == 0 {
			if err != io.EOF {
				return err
			}
			return nil
		}
		for _, name := range names {
			if err := r.remove(fd, name, depth+1); err != nil {
				return err
			}
		}
		if _, err := dir.Seek(0, 0); err != nil {
			return err
		}
	}
}

// RemoveAll is RemoveTree for a path of the store's own.
func RemoveAll(path string) error {
	dir, base := split(path)
	if dir == "" {
		dir = "/"
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	return RemoveTree(fd, base)
}
