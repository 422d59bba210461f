package apply

import (
	"os"
	"path"

	"golang.org/x/sys/unix"

	"devstack/engine/watch"
)

// remove removes a target; that it is not there is what was wanted.
func (r *Root) remove(op watch.Op, res *Result) error {
	dir, name, err := r.enter(op.Target, false)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return nil
	}
	if err != nil {
		return fault("remove", op.Target, err)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err == unix.ENOENT {
		return nil
	}
	if err := r.removeAt(dir, name, "", op.Keep); err != nil {
		return fault("remove", op.Target, err)
	}
	res.Removed++
	return nil
}

// removeAt removes what a name is, with all that is in it, except what keep
// says and what is mounted there: then the directories that lead to it stay.
func (r *Root) removeAt(dir int, name, rel string, keep func(string) bool) error {
	err := unix.Unlinkat(dir, name, 0)
	if err == nil || err == unix.ENOENT || err == unix.EBUSY {
		return nil
	}
	if err != unix.EISDIR && err != unix.EPERM {
		return err
	}
	switch gone := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR); gone {
	case nil, unix.ENOENT, unix.EBUSY:
		return nil
	case unix.ENOTEMPTY, unix.EEXIST:
	case unix.ENOTDIR:
		return err // a file that may not be removed
	default:
		return gone
	}
	fd, err := openat2(dir, name, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_XDEV|unix.RESOLVE_NO_SYMLINKS)
	if err == unix.EXDEV || err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		sub := path.Join(rel, n)
		if keep != nil && keep(sub) {
			continue
		}
		if err := r.removeAt(fd, n, sub, keep); err != nil {
			return err
		}
	}
	err = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	if err == unix.ENOTEMPTY || err == unix.EEXIST || err == unix.EBUSY || err == unix.ENOENT {
		return nil
	}
	return err
}
