package layer

import (
	"golang.org/x/sys/unix"
)

func (t *tree) symlink(path, target string, m meta) error {
	d, base, err := t.parent(path, m)
	if err != nil {
		return err
	}
	if target == "" {
		return refuse("", "is a symbolic link to nothing")
	}
	err = unix.Symlinkat(target, d.fd, base)
	if err == unix.EEXIST {
		if d, err = t.makeRoom(path, m); err == nil {
			err = unix.Symlinkat(target, d.fd, base)
		}
	}
	if err != nil {
		return err
	}
	return t.finishAt(d, base, m)
}

// finishAt completes what cannot be opened: links, devices and fifos.
func (t *tree) finishAt(d *dirHandle, base string, m meta) error {
	if d.setgid || m.uid != t.uid || m.gid != t.gid {
		if err := unix.Fchownat(d.fd, base, m.uid, m.gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	err := setXattrs(m, func(name string, value []byte) error {
		return unix.Lsetxattr(procPath(d.fd, base), name, value, 0)
	})
	if err != nil {
		return err
	}
	return setTimesAt(d.fd, base, m)
}

func (t *tree) node(path string, m meta, kind, major, minor uint32) error {
	d, base, err := t.parent(path, m)
	if err != nil {
		return err
	}
	dev := int(unix.Mkdev(major, minor))
	err = unix.Mknodat(d.fd, base, kind|m.mode&0o777, dev)
	if err == unix.EEXIST {
		if d, err = t.makeRoom(path, m); err == nil {
			err = unix.Mknodat(d.fd, base, kind|m.mode&0o777, dev)
		}
	}
	if err != nil {
		return err
	}
	if t.needsChmod(m.mode) {
		if err := unix.Fchmodat(d.fd, base, m.mode, 0); err != nil { // not a link: just made
			return err
		}
	}
	return t.finishAt(d, base, m)
}

// link makes a hard link to an earlier entry of the same layer.
func (t *tree) link(path, target string, m meta) error {
	if target == path {
		return nil
	}
	if _, _, err := t.parent(path, m); err != nil { // makes it
		return err
	}
	dir, name := split(target)
	from, err := t.dirs.open(dir)
	if err != nil {
		if err == unix.ENOENT {
			return refuse("", "is a hard link to %q, which is not in this layer", target)
		}
		return explain(dir, err)
	}
	d, base, err := t.parent(path, m)
	if err != nil {
		return err
	}
	err = unix.Linkat(from.fd, name, d.fd, base, 0)
	if err == unix.EEXIST {
		if d, err = t.makeRoom(path, m); err != nil {
			return err
		}
		if from, err = t.dirs.open(dir); err != nil {
			return explain(dir, err)
		}
		err = unix.Linkat(from.fd, name, d.fd, base, 0)
	}
	switch {
	case err == unix.ENOENT:
		return refuse("", "is a hard link to %q, which is not in this layer", target)
	case err == unix.EPERM:
		return refuse("", "is a hard link to the directory %q", target)
	}
	return err
}

// OpaqueXattr marks a directory that hides what lower layers have in it.
const OpaqueXattr = "trusted.overlay.opaque"

// IsOpaque says whether a directory of an unpacked layer, or of an overlay's
// upper directory, hides what lower layers have in it.
func IsOpaque(dir string) bool {
	var value [1]byte
	n, err := unix.Lgetxattr(dir, OpaqueXattr, value[:])
	return err == nil && n == 1 && value[0] == 'y'
}

// IsWhiteout says whether a file of one hides what lower layers have there.
func IsWhiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

// whiteout hides path of lower layers. What this very layer has there stays:
// a whiteout speaks of lower layers only, so a directory becomes opaque.
func (t *tree) whiteout(path string, m meta) error {
	d, base, err := t.parent(path, m)
	if err != nil {
		return err
	}
	err = unix.Mknodat(d.fd, base, unix.S_IFCHR, 0)
	if err != unix.EEXIST {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(d.fd, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	return t.opaque(path, m)
}

// opaque hides everything that lower layers have in the directory path.
func (t *tree) opaque(path string, m meta) error {
	d, _, err := t.parent(join(path, "."), m)
	if err != nil {
		return err
	}
	return unix.Fsetxattr(d.fd, OpaqueXattr, []byte("y"), 0)
}
