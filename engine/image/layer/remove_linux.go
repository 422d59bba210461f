package layer

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// RemoveTree removes base in the directory dirfd with everything beneath. It
// follows no symbolic link and enters no mount, so nothing outside is ever
// touched, whatever the tree holds.
func RemoveTree(dirfd int, base string) error {
	err := unix.Unlinkat(dirfd, base, 0)
	if err == nil || err == unix.ENOENT {
		return nil
	}
	if err != unix.EISDIR && err != unix.EPERM {
		return &os.PathError{Op: "remove", Path: base, Err: err}
	}
	if err := unix.Unlinkat(dirfd, base, unix.AT_REMOVEDIR); err == nil || err == unix.ENOENT {
		return nil // empty, as most are
	}
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
	err = removeChildren(dir)
	if err := unix.Unlinkat(dirfd, base, unix.AT_REMOVEDIR); err == nil || err == unix.ENOENT {
		return nil
	} else if err != unix.ENOTEMPTY {
		return &os.PathError{Op: "remove", Path: base, Err: err}
	}
	if err != nil {
		return err
	}
	return &os.PathError{Op: "remove", Path: base, Err: unix.ENOTEMPTY}
}

// removeChildren lists again until nothing is left to remove: some file
// systems skip entries when others vanish under a listing.
func removeChildren(dir *os.File) error {
	var errs error
	for {
		names, err := dir.Readdirnames(1024)
		if len(names) == 0 || errs != nil {
			return errs
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := RemoveTree(int(dir.Fd()), name); err != nil && errs == nil {
				errs = err
			}
		}
		if _, err := dir.Seek(0, 0); err != nil {
			return err
		}
	}
}

// RemoveAll is RemoveTree for a path of the store's own.
func RemoveAll(path string) error {
	dir, base := splitAbs(path)
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

func splitAbs(path string) (dir, base string) {
	dir, base = split(path)
	if dir == "" {
		dir = "/"
	}
	return dir, base
}
