package copy

import (
	"errors"
	"os"
	"path"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"devstack/engine/build/source"
	"devstack/engine/image/layer"
)

// place copies one entry that is no directory to dir/name.
func (w *writer) place(t *source.Tree, src *os.File, e *source.Entry, dir *node, name string) error {
	switch e.Type {
	case source.TypeFile:
		return w.file(t, src, e, dir, name)
	case source.TypeLink:
		return w.symlink(t, src, e, dir, name)
	}
	return w.special(t, e, dir, name)
}

const createFlags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC

// create makes an empty file, in the place of what is there.
func (w *writer) create(dir *node, name string) (int, error) {
	fd, err := unix.Openat(dir.fd, name, createFlags, 0o600)
	if err == unix.EEXIST {
		if err := w.clear(dir, name); err != nil {
			return -1, err
		}
		fd, err = unix.Openat(dir.fd, name, createFlags, 0o600)
	}
	if err != nil {
		return -1, fail("create", dir, name, err)
	}
	return fd, nil
}

func (w *writer) file(t *source.Tree, src *os.File, e *source.Entry, dir *node, name string) error {
	in, err := t.OpenAt(src, e)
	if err != nil {
		return err
	}
	defer unix.Close(in)
	out, err := w.create(dir, name)
	if err != nil {
		return err
	}
	err = w.content(in, out, e)
	if err == nil {
		err = w.attributes(t, in, out, e)
	}
	if err == nil {
		err = w.setTimes(out, "", t, e)
	}
	if cerr := unix.Close(out); err == nil {
		err = cerr
	}
	if err != nil {
		return fail("write", dir, name, err)
	}
	return t.Unchanged(in, e) // what was hashed is what was copied
}

// attributes sets owner, mode and extended attributes, in the order in which
// one does not undo the other.
func (w *writer) attributes(t *source.Tree, in, out int, e *source.Entry) error {
	uid, gid := w.ownerOf(e)
	if err := unix.Fchown(out, uid, gid); err != nil {
		return err
	}
	if err := unix.Fchmod(out, w.mode.Apply(e.Mode, e.Type == source.TypeDir)); err != nil {
		return err
	}
	attrs, err := t.Xattrs(in)
	if err != nil {
		return err
	}
	for _, a := range attrs {
		if err := setXattr(a.Name, unix.Fsetxattr(out, a.Name, []byte(a.Value), 0)); err != nil {
			return err
		}
	}
	return nil
}

// setXattr forgives what the file system here cannot hold, save capabilities:
// a program without them works differently.
func setXattr(name string, err error) error {
	if (errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EPERM)) && name != "security.capability" {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "set attribute", Path: name, Err: err}
	}
	return nil
}

func (w *writer) ownerOf(e *source.Entry) (uid, gid int) {
	if w.uid >= 0 {
		return w.uid, w.gid
	}
	return int(e.UID), int(e.GID)
}

// document writes a here-document.
func (w *writer) document(dir *node, name string, data []byte) error {
	fd, err := w.create(dir, name)
	if err != nil {
		return err
	}
	err = writeAll(fd, data)
	if err == nil {
		err = unix.Fchown(fd, max(w.uid, 0), max(w.gid, 0))
	}
	if err == nil {
		err = unix.Fchmod(fd, w.mode.Apply(0o644, false))
	}
	if err == nil && !w.o.Epoch.IsZero() {
		err = utimes(fd, "", w.o.Epoch.UnixNano(), w.o.Epoch.UnixNano())
	}
	if cerr := unix.Close(fd); err == nil {
		err = cerr
	}
	if err != nil {
		return fail("write", dir, name, err)
	}
	return nil
}

func (w *writer) symlink(t *source.Tree, src *os.File, e *source.Entry, dir *node, name string) error {
	target, err := t.TargetAt(src, e)
	if err != nil {
		return err
	}
	err = unix.Symlinkat(target, dir.fd, name)
	if err == unix.EEXIST {
		if err := w.clear(dir, name); err != nil {
			return err
		}
		err = unix.Symlinkat(target, dir.fd, name)
	}
	if err == nil {
		err = w.ownAt(t, e, dir, name)
	}
	if err != nil {
		return fail("link", dir, name, err)
	}
	return nil
}

// special makes the pipes and devices that images have.
func (w *writer) special(t *source.Tree, e *source.Entry, dir *node, name string) error {
	kind := map[source.Type]uint32{source.TypeFifo: unix.S_IFIFO, source.TypeChar: unix.S_IFCHR, source.TypeBlock: unix.S_IFBLK}[e.Type]
	if kind == 0 || !t.Owned() && kind != unix.S_IFIFO {
		return &source.RefusedError{Tree: t.Name(), Path: e.Path, Reason: "is a " + e.Type.String()}
	}
	if err := w.clear(dir, name); err != nil {
		return err
	}
	if err := unix.Mknodat(dir.fd, name, kind|0o600, int(e.Stat.Rdev)); err != nil {
		return fail("make", dir, name, err)
	}
	err := w.ownAt(t, e, dir, name)
	if err == nil {
		err = unix.Fchmodat(dir.fd, name, w.mode.Apply(e.Mode, false), 0) // no link: just made
	}
	if err == nil {
		err = w.setTimes(dir.fd, name, t, e)
	}
	if err != nil {
		return fail("make", dir, name, err)
	}
	return nil
}

// ownAt sets owner and times of what cannot be opened.
func (w *writer) ownAt(t *source.Tree, e *source.Entry, dir *node, name string) error {
	uid, gid := w.ownerOf(e)
	if err := unix.Fchownat(dir.fd, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	return w.setTimes(dir.fd, name, t, e)
}

// finishDir gives a directory the attributes of its source.
func (w *writer) finishDir(t *source.Tree, l level) error {
	err := w.attributes(t, int(l.src.Fd()), l.dst.fd, l.entry)
	if err == nil {
		err = w.setTimes(l.dst.fd, "", t, l.entry)
	}
	if err != nil {
		return fail("set attributes of", l.dst, "", err)
	}
	return nil
}

func removeTree(dir *node, name string) error {
	if err := layer.RemoveTree(dir.fd, name); err != nil {
		return fail("replace", dir, name, err)
	}
	return nil
}

// subdir opens or makes a directory in another.
func (w *writer) subdir(dir *node, name string, mode uint32) (_ *node, fresh bool, err error) {
	err = unix.Mkdirat(dir.fd, name, mode)
	if err == unix.EEXIST {
		var st unix.Stat_t
		if err := unix.Fstatat(dir.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return nil, false, fail("stat", dir, name, err)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			if !w.o.Link {
				return nil, false, fault(path.Join(dir.path, name), "is a %s, which a directory cannot be copied to", kindOf(&st))
			}
			if err := unix.Unlinkat(dir.fd, name, 0); err != nil {
				return nil, false, fail("replace", dir, name, err)
			}
			err = unix.Mkdirat(dir.fd, name, mode)
			fresh = true
		} else {
			err = nil
		}
	} else {
		fresh = err == nil
	}
	if err != nil {
		return nil, false, fail("make directory", dir, name, err)
	}
	n, err := openNode(dir, name)
	return n, fresh, err
}

func openNode(dir *node, name string) (*node, error) {
	fd, err := unix.Openat(dir.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fail("open", dir, name, err)
	}
	return &node{fd: fd, path: path.Join(dir.path, name)}, nil
}

func kindOf(st *unix.Stat_t) string {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "file"
	case unix.S_IFLNK:
		return "symbolic link"
	case unix.S_IFDIR:
		return "directory"
	}
	return "special file"
}

func writeAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := unix.Write(fd, p)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// futimens is utimensat(2) of an open file, which x/sys has no form of.
func futimens(fd int, ts *[2]unix.Timespec) error {
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(ts)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// procPath names an entry of an open directory for calls without an *at form.
func procPath(fd int, name string) string {
	return "/proc/self/fd/" + strconv.Itoa(fd) + "/" + strings.TrimPrefix(name, "/")
}
