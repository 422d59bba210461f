package layer

import (
	"bytes"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// tree is the directory a layer unpacks into. It is private to one Unpack
// until it is complete, so nobody changes it between two system calls; what
// it must not trust are the names. Every directory is reached with
// RESOLVE_BENEATH from the root, every last component without following it.
type tree struct {
	dirs     *dirCache
	uid, gid int    // of this process: what new files get by themselves
	umask    uint32 // what new modes lose
	buf      []byte
}

func openTree(dir string) (*tree, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	// The store's directories may pass on an ACL or a group; images have none.
	unix.Fremovexattr(fd, "system.posix_acl_default")
	unix.Fremovexattr(fd, "system.posix_acl_access")
	dirs, err := newDirCache(fd)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &tree{
		dirs: dirs, uid: os.Geteuid(), gid: os.Getegid(), umask: umask(),
		buf: make([]byte, chunkSize),
	}, nil
}

func (t *tree) Close() error { return t.dirs.Close() }

// umask is read from /proc because umask(2) can only read it by changing it,
// for all threads.
func umask() uint32 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0o7777
	}
	_, rest, ok := bytes.Cut(status, []byte("\nUmask:\t"))
	if !ok {
		return 0o7777
	}
	var mask uint32
	for _, c := range rest {
		if c < '0' || c > '7' {
			break
		}
		mask = mask<<3 | uint32(c-'0')
	}
	return mask
}

// parent opens the directory that path lies in, making it and those above
// where the archive left them out.
func (t *tree) parent(path string, m meta) (d *dirHandle, base string, err error) {
	dir, base := split(path)
	d, err = t.dirs.open(dir)
	if err == unix.ENOENT {
		d, err = t.implicitDir(dir, m)
	}
	if err != nil {
		return nil, "", explain(dir, err)
	}
	d.touched = true
	return d, base, nil
}

// implicitDir makes a directory that entries lie in but the archive does not
// list, with the time of the first of them.
func (t *tree) implicitDir(path string, m meta) (*dirHandle, error) {
	d, base, err := t.parent(path, m)
	if err != nil {
		return nil, err
	}
	if err := unix.Mkdirat(d.fd, base, 0o755); err == unix.EEXIST {
		return nil, refuse("", "passes through a symbolic link to nothing (%q)", path)
	} else if err != nil {
		return nil, err
	}
	own, err := t.dirs.openChild(d, path, base)
	if err != nil {
		return nil, err
	}
	m = meta{mode: 0o755, uid: t.uid, gid: t.gid, atime: m.mtime, mtime: m.mtime}
	own.setTimes(m)
	return own, t.finishDir(own, m, true)
}

// explain words what the kernel says of a path that does not stay beneath.
func explain(dir string, err error) error {
	switch err {
	case unix.EXDEV:
		return refuse("", "passes through a symbolic link that leaves the layer (%q)", dir)
	case unix.ELOOP:
		return refuse("", "passes through a loop of symbolic links (%q)", dir)
	case unix.ENOTDIR:
		return refuse("", "lies beneath %q, which is no directory", dir)
	}
	return err
}

func (t *tree) dir(path string, m meta) error {
	if path == "" {
		return t.rootDir(m)
	}
	d, base, err := t.parent(path, m)
	if err != nil {
		return err
	}
	err = unix.Mkdirat(d.fd, base, m.mode&0o777)
	fresh := err == nil
	if err == unix.EEXIST {
		d, fresh, err = t.mergeDir(d, path, base, m)
	}
	if err != nil {
		return err
	}
	own, err := t.dirs.openChild(d, path, base)
	if err != nil {
		return err
	}
	own.setTimes(m)
	return t.finishDir(own, m, fresh)
}

// mergeDir handles a directory entry for a name that is there already: a
// directory stays with its content, anything else makes room.
func (t *tree) mergeDir(d *dirHandle, path, base string, m meta) (_ *dirHandle, fresh bool, err error) {
	var st unix.Stat_t
	if err := unix.Fstatat(d.fd, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, false, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return d, false, nil
	}
	d, err = t.makeRoom(path, m)
	if err != nil {
		return nil, false, err
	}
	if err := unix.Mkdirat(d.fd, base, m.mode&0o777); err != nil {
		return nil, false, err
	}
	if IsWhiteout(&st) {
		return d, true, unix.Setxattr(procPath(d.fd, base), OpaqueXattr, []byte("y"), 0)
	}
	return d, true, nil
}

func (t *tree) rootDir(m meta) error {
	d, err := t.dirs.open("")
	if err != nil {
		return err
	}
	d.setTimes(m)
	return t.finishDir(d, m, false)
}

func (t *tree) finishDir(d *dirHandle, m meta, fresh bool) error {
	chown := !fresh || d.setgid || m.uid != t.uid || m.gid != t.gid
	if chown {
		if err := unix.Fchown(d.fd, m.uid, m.gid); err != nil {
			return err
		}
	}
	if !fresh || d.setgid || t.needsChmod(m.mode) {
		if err := unix.Fchmod(d.fd, m.mode); err != nil {
			return err
		}
	}
	d.setgid = m.mode&unix.S_ISGID != 0
	return setXattrs(m, func(name string, value []byte) error { return unix.Fsetxattr(d.fd, name, value, 0) })
}

// needsChmod says whether mkdir or open with this mode gives another one.
func (t *tree) needsChmod(mode uint32) bool { return mode&0o7000 != 0 || mode&t.umask != 0 }

func (t *tree) file(path string, m meta, content io.Reader, sparse bool) error {
	d, base, err := t.parent(path, m)
	if err != nil {
		return err
	}
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(d.fd, base, flags, m.mode&0o777)
	if err == unix.EEXIST {
		if d, err = t.makeRoom(path, m); err == nil {
			fd, err = unix.Openat(d.fd, base, flags, m.mode&0o777)
		}
	}
	if err != nil {
		return err
	}
	err = t.fill(fd, content, sparse)
	if err == nil {
		err = t.finishFile(fd, d, base, m)
	}
	if cerr := unix.Close(fd); err == nil {
		err = cerr
	}
	return err
}

// finishFile sets what the content must come before: writing clears setuid
// and capabilities, chown does too, and everything changes the times.
func (t *tree) finishFile(fd int, d *dirHandle, base string, m meta) error {
	if d.setgid || m.uid != t.uid || m.gid != t.gid {
		if err := unix.Fchown(fd, m.uid, m.gid); err != nil {
			return err
		}
	}
	if t.needsChmod(m.mode) {
		if err := unix.Fchmod(fd, m.mode); err != nil {
			return err
		}
	}
	if m.xattrs != nil {
		if err := setXattrs(m, func(name string, value []byte) error { return unix.Fsetxattr(fd, name, value, 0) }); err != nil {
			return err
		}
	}
	return setTimesAt(d.fd, base, m)
}

func (t *tree) fill(fd int, content io.Reader, sparse bool) error {
	if sparse {
		return fillSparse(fd, content, t.buf)
	}
	for {
		n, err := readFull(content, t.buf)
		if werr := writeAll(fd, t.buf[:n]); werr != nil {
			return werr
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
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

// fillSparse leaves holes where whole blocks are zero.
func fillSparse(fd int, content io.Reader, buf []byte) error {
	var size int64
	zeros := make([]byte, 4096)
	for {
		n, err := readFull(content, buf)
		for p := buf[:n]; len(p) > 0; {
			block := p[:min(len(p), len(zeros))]
			if !bytes.Equal(block, zeros[:len(block)]) {
				if _, err := unix.Pwrite(fd, block, size); err != nil {
					return err
				}
			}
			size += int64(len(block))
			p = p[len(block):]
		}
		if err == io.EOF {
			return unix.Ftruncate(fd, size)
		}
		if err != nil {
			return err
		}
	}
}

// makeRoom removes what a later entry of the same name replaces.
func (t *tree) makeRoom(path string, m meta) (*dirHandle, error) {
	d, base, err := t.parent(path, m)
	if err != nil {
		return nil, err
	}
	err = unix.Unlinkat(d.fd, base, 0)
	t.dirs.forget() // handles beneath the name, or through it as a link
	d, base, perr := t.parent(path, m)
	switch {
	case perr != nil:
		return nil, perr
	case err == unix.EISDIR:
		err = RemoveTree(d.fd, base)
	}
	return d, err
}
