package apply

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"devstack/engine/watch"
)

// putDir makes a directory and gives it the source's mode.
func (r *Root) putDir(op watch.Op, st *unix.Stat_t, res *Result) error {
	dir, name, err := r.enter(op.Target, true)
	if err != nil {
		return fault("make directory", op.Target, err)
	}
	var old unix.Stat_t
	err = unix.Fstatat(dir, name, &old, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && old.Mode&unix.S_IFMT != unix.S_IFDIR {
		if err := unix.Unlinkat(dir, name, 0); err != nil {
			return fault("make directory", op.Target, err)
		}
		err = unix.ENOENT
	}
	there := uint32(0)
	if err == nil {
		there = old.Mode & 0o7777
	}
	mode := permOf(op, st, there)
	if err == nil && there == mode {
		res.Same++
		return nil
	}
	if err == unix.ENOENT {
		if err := unix.Mkdirat(dir, name, 0o700); err != nil {
			return fault("make directory", op.Target, err)
		}
		old.Uid, old.Gid = uint32(r.dirUID), uint32(r.dirGID)
		res.Made++
	} else if err != nil {
		return fault("make directory", op.Target, err)
	} else {
		res.Written++
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fault("make directory", op.Target, err)
	}
	defer unix.Close(fd)
	_ = unix.Fchown(fd, int(old.Uid), int(old.Gid)) // best effort, as in putFile
	if err := unix.Fchmod(fd, mode); err != nil {
		return fault("set the mode of", op.Target, err)
	}
	return nil
}

// permOf is the mode that a target is to have.
func permOf(op watch.Op, st *unix.Stat_t, there uint32) uint32 {
	mode := st.Mode & 0o7777
	if op.Perm != nil {
		mode = op.Perm(mode, there, st.Mode&unix.S_IFMT == unix.S_IFDIR) & 0o7777
	}
	return mode
}

// putLink makes a symlink, as it is: what it leads to is the container's.
func (r *Root) putLink(op watch.Op, res *Result) error {
	to, err := os.Readlink(op.Source)
	if err != nil {
		return nil // changed meanwhile, which comes as a change of its own
	}
	dir, name, err := r.enter(op.Target, true)
	if err != nil {
		return fault("write", op.Target, err)
	}
	if n, err := unix.Readlinkat(dir, name, r.buf); err == nil && string(r.buf[:n]) == to {
		res.Same++
		return nil
	}
	old := r.look(dir, name)
	tmp := temporary(name)
	err = unix.Symlinkat(to, dir, tmp)
	if err == unix.EEXIST {
		_ = r.removeAt(dir, tmp, "", nil)
		err = unix.Symlinkat(to, dir, tmp)
	}
	if err != nil {
		return fault("write", op.Target, err)
	}
	_ = unix.Fchownat(dir, tmp, old.uid, old.gid, unix.AT_SYMLINK_NOFOLLOW)
	if err := r.replace(dir, tmp, name, old); err != nil {
		_ = unix.Unlinkat(dir, tmp, 0)
		return fault("write", op.Target, err)
	}
	res.Written++
	return nil
}

// putFile writes a file beside its target and renames it.
func (r *Root) putFile(op watch.Op, src int, st *unix.Stat_t, o Options, res *Result) error {
	dir, name, err := r.enter(op.Target, true)
	if err != nil {
		return fault("write", op.Target, err)
	}
	old := r.look(dir, name)
	st.Mode = st.Mode&unix.S_IFMT | permOf(op, st, old.mode)
	if o.Compare {
		if r.same(dir, name, src, st) {
			res.Same++
			return nil
		}
		if _, err := unix.Seek(src, 0, io.SeekStart); err != nil {
			return fault("read", op.Source, err)
		}
	}
	tmp := temporary(name)
	flags := unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(dir, tmp, flags, 0o600)
	if err == unix.EEXIST { // of a process that was killed
		_ = r.removeAt(dir, tmp, "", nil)
		fd, err = unix.Openat(dir, tmp, flags, 0o600)
	}
	if err != nil {
		return fault("write", op.Target, err)
	}
	n, err := r.fill(fd, src, st, old)
	unix.Close(fd)
	if err == nil {
		err = r.replace(dir, tmp, name, old)
	}
	if err != nil {
		_ = unix.Unlinkat(dir, tmp, 0)
	}
	if err == unix.EBUSY { // a mount of this one file: it cannot be replaced
		n, err = r.overwrite(dir, name, src)
	}
	if err != nil {
		return fault("write", op.Target, err)
	}
	res.Written++
	res.Bytes += n
	return nil
}

// fill gives a new file its content and everything else.
func (r *Root) fill(fd, src int, st *unix.Stat_t, old target) (int64, error) {
	n, err := r.copy(fd, src)
	if err != nil {
		return n, err
	}
	// An owner that the engine's user namespace does not know cannot be kept.
	if old.uid != os.Geteuid() || old.gid != os.Getegid() {
		_ = unix.Fchown(fd, old.uid, old.gid)
	}
	if err := unix.Fchmod(fd, st.Mode&0o7777); err != nil {
		return n, err
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, st.Mtim}
	if err := unix.UtimesNanoAt(fd, "", times, unix.AT_EMPTY_PATH); err != nil {
		// Before Linux 5.8 an empty path is refused; times do not matter that much.
		_ = err
	}
	return n, nil
}

// copy copies all of src; what is larger than the buffer stays in the kernel.
func (r *Root) copy(dst, src int) (int64, error) {
	var total int64
	for {
		n, err := unix.Read(src, r.buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return total, err
		}
		for b := r.buf[:n]; len(b) > 0; {
			m, err := unix.Write(dst, b)
			if err != nil && err != unix.EINTR {
				return total, err
			}
			b = b[max(m, 0):]
		}
		total += int64(n)
		if n < len(r.buf) {
			continue
		}
		for {
			m, err := unix.CopyFileRange(src, nil, dst, nil, 64<<20, 0)
			if err != nil || m == 0 {
				break // the next read goes on, or finds the end
			}
			total += int64(m)
		}
	}
}

// replace renames tmp over name, whatever that is.
func (r *Root) replace(dir int, tmp, name string, old target) error {
	if old.cheap {
		// ext4 writes out a file at once that is renamed over another (mount
		// option auto_da_alloc), which takes a millisecond; not so if they
		// change places.
		if unix.Renameat2(dir, tmp, dir, name, unix.RENAME_EXCHANGE) == nil {
			return unix.Unlinkat(dir, tmp, 0)
		}
	}
	err := unix.Renameat(dir, tmp, dir, name)
	if err == unix.EISDIR || err == unix.ENOTEMPTY || err == unix.EEXIST {
		if err := r.removeAt(dir, name, "", nil); err != nil {
			return err
		}
		return unix.Renameat(dir, tmp, dir, name)
	}
	return err
}

// overwrite writes into a file that cannot be replaced.
func (r *Root) overwrite(dir int, name string, src int) (int64, error) {
	if _, err := unix.Seek(src, 0, io.SeekStart); err != nil {
		return 0, err
	}
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	return r.copy(fd, src)
}

// target is what was at a target.
type target struct {
	uid, gid int    // of what is there, else of the directory
	mode     uint32 // permissions of a file that is there
	// cheap says that it may change places with a file: it is one itself, and
	// in no lower layer of an overlay, from where it would be copied first.
	// Layers are older than the root of a container.
	cheap bool
}

func (r *Root) look(dir int, name string) target {
	var st unix.Statx_t
	if unix.Statx(dir, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st) != nil {
		return target{uid: r.dirUID, gid: r.dirGID}
	}
	born := time.Unix(st.Btime.Sec, int64(st.Btime.Nsec))
	mode := uint32(0)
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		mode = uint32(st.Mode) & 0o7777
	}
	return target{
		uid: int(st.Uid), gid: int(st.Gid), mode: mode,
		cheap: st.Mode&unix.S_IFMT == unix.S_IFREG && st.Mask&unix.STATX_BTIME != 0 && born.After(r.born),
	}
}

// same compares a file with what is there: kind, mode and content.
func (r *Root) same(dir int, name string, src int, st *unix.Stat_t) bool {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var old unix.Stat_t
	if unix.Fstat(fd, &old) != nil || old.Mode != st.Mode || old.Size != st.Size {
		return false
	}
	half := len(r.buf) / 2
	a, b := r.buf[:half], r.buf[half:]
	for {
		n, err := unix.Read(src, a)
		if err != nil {
			return false
		}
		for m := 0; m < n; {
			k, err := unix.Read(fd, b[:n-m])
			if err != nil || k == 0 || !bytes.Equal(a[m:m+k], b[:k]) {
				return false
			}
			m += k
		}
		if n == 0 {
			k, err := unix.Read(fd, b[:1])
			return err == nil && k == 0
		}
	}
}

// temporary is the name under which a target is written: always the same, so
// that who comes after a crash clears it away by doing the same work.
func temporary(name string) string {
	h := fnv.New64a()
	io.WriteString(h, name) //nolint:errcheck // a hash does not fail
	return fmt.Sprintf(".devstack-%016x", h.Sum64())
}
