package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"devstack/engine/watch"
)

// Root is the root of a container. It is used by one goroutine at a time.
type Root struct {
	fd   int
	buf  []byte
	born time.Time // when the root directory was made

	// The directory of the last target: ops come sorted.
	dir    string
	dirFD  int
	dirUID int
	dirGID int
}

// bufferSize is up to what size a file is copied by one read and one write.
const bufferSize = 64 << 10

// maxErrors bounds what Apply reports.
const maxErrors = 20

// Open opens the root of a container: /proc/PID/root, or any directory.
func Open(dir string) (*Root, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open root %s: %w", dir, err)
	}
	r := &Root{fd: fd, dirFD: -1, buf: make([]byte, bufferSize)}
	var st unix.Statx_t
	if unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &st) == nil {
		r.born = time.Unix(st.Btime.Sec, int64(st.Btime.Nsec))
	}
	return r, nil
}

// Close closes the root.
func (r *Root) Close() error {
	r.leave()
	return unix.Close(r.fd)
}

// Apply makes the targets equal to their sources: first what goes, deepest
// first, then what is there. It goes on after a failure; the error joins up to
// maxErrors of them, each an *Error.
func (r *Root) Apply(ctx context.Context, ops []watch.Op, o Options) (Result, error) {
	ops = slices.Clone(ops)
	slices.SortFunc(ops, func(a, b watch.Op) int { return cmp.Compare(a.Target, b.Target) })
	defer r.leave()
	var res Result
	var errs []error
	note := func(err error) {
		if err != nil && len(errs) < maxErrors {
			errs = append(errs, err)
		}
	}
	gone := make([]bool, len(ops))
	for i := len(ops) - 1; i >= 0; i-- {
		if err := look(ops[i]); err == nil || err != unix.ENOENT && err != unix.ENOTDIR {
			continue
		}
		gone[i] = true
		note(r.remove(ops[i], &res))
	}
	r.leave() // it may be gone
	for i, op := range ops {
		if ctx.Err() != nil {
			return res, errors.Join(append(errs, ctx.Err())...)
		}
		if !gone[i] {
			note(r.put(op, o, &res))
		}
	}
	return res, errors.Join(errs...)
}

// look says whether a source is there.
func look(op watch.Op) error {
	var st unix.Stat_t
	if op.Follow {
		return unix.Stat(op.Source, &st)
	}
	return unix.Lstat(op.Source, &st)
}

// put makes one target equal to a source that is there.
func (r *Root) put(op watch.Op, o Options, res *Result) error {
	flags := unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	if op.Follow {
		flags &^= unix.O_NOFOLLOW
	}
	src, err := unix.Open(op.Source, flags, 0)
	if err == unix.ENOENT || err == unix.ENXIO {
		return nil // gone meanwhile, which is a change of its own; or a socket
	}
	if err == unix.ELOOP {
		return r.putLink(op, res)
	}
	if err != nil {
		return fault("read", op.Source, err)
	}
	defer unix.Close(src)
	var st unix.Stat_t
	if err := unix.Fstat(src, &st); err != nil {
		return fault("read", op.Source, err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return r.putDir(op, &st, res)
	case unix.S_IFREG:
		return r.putFile(op, src, &st, o, res)
	}
	return nil
}

// enter gives the directory that a target is in, and its name there.
func (r *Root) enter(target string, create bool) (dir int, name string, err error) {
	target = path.Clean("/" + target)
	parent, name := path.Split(target)
	if name == "" {
		return -1, "", unix.EISDIR
	}
	if r.dirFD >= 0 && r.dir == parent {
		return r.dirFD, name, nil
	}
	r.leave()
	fd, err := r.open(parent)
	if err == unix.ENOENT && create {
		fd, err = r.makeAll(parent)
	}
	if err != nil {
		return -1, "", err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, "", err
	}
	r.dir, r.dirFD, r.dirUID, r.dirGID = parent, fd, int(st.Uid), int(st.Gid)
	return fd, name, nil
}

// leave forgets the directory of the last target, which may go.
func (r *Root) leave() {
	if r.dirFD >= 0 {
		unix.Close(r.dirFD)
	}
	r.dir, r.dirFD = "", -1
}

// open opens a directory as the container sees it.
func (r *Root) open(dir string) (int, error) {
	return openat2(r.fd, cmp.Or(strings.TrimPrefix(dir, "/"), "."), unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
}

// openat2 opens a directory. The kernel says EAGAIN when something on the way
// was renamed while it looked.
func openat2(at int, name string, resolve uint64) (int, error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: resolve}
	for range 100 {
		fd, err := unix.Openat2(at, name, &how)
		if err != unix.EAGAIN && err != unix.EINTR {
			return fd, err
		}
	}
	return -1, unix.EAGAIN
}

// makeAll makes the directories that lead to a path, with the owner of what is
// there.
func (r *Root) makeAll(dir string) (int, error) {
	dir = path.Clean(dir)
	parent := path.Dir(dir)
	if parent == dir {
		return -1, unix.ENOENT
	}
	up, err := r.open(parent)
	if err == unix.ENOENT {
		up, err = r.makeAll(parent)
	}
	if err != nil {
		return -1, err
	}
	defer unix.Close(up)
	var st unix.Stat_t
	if err := unix.Fstat(up, &st); err != nil {
		return -1, err
	}
	name := path.Base(dir)
	if err := unix.Mkdirat(up, name, 0o755); err != nil && err != unix.EEXIST {
		return -1, err
	} else if err == nil {
		_ = unix.Fchownat(up, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW) // best effort, as in putFile
	}
	return r.open(dir)
}

// fault is an *Error with what to do about it.
func fault(op, target string, err error) error {
	e := &Error{Op: op, Target: target, Err: err}
	switch {
	case op == "read" && errors.Is(err, os.ErrPermission):
		e.Hint = "let the engine's user read it, or add it to the rule's ignore"
	case errors.Is(err, unix.EROFS):
		e.Hint = "it is read-only in the container: remove read_only (or :ro) from the service or the mount that holds it, or sync to another target"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		e.Hint = "the engine may not do that: look at owner and mode (and at chattr +i)"
	case errors.Is(err, unix.ENOTDIR):
		e.Hint = "a part of the path is a file in the container"
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		e.Hint = "the container's file system is full"
	case errors.Is(err, os.ErrNotExist):
		e.Hint = "the container has no such directory, or it is gone"
	}
	return e
}
