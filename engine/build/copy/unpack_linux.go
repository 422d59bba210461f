package copy

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"devstack/engine/build/source"
	"devstack/engine/image/layer"
)

// unpack extracts a file that is an archive; done is false if it is none and
// has to be copied as it is.
//
// The archive is unpacked by itself first, into an empty directory at the top
// of the destination, where package layer refuses whatever lies, and then
// moved to its place: names of the archive are never resolved in the
// destination. A conflict is resolved for the archive, a directory is merged.
func (w *writer) unpack(m move, d destination) (done bool, err error) {
	if m.entry.Type != source.TypeFile {
		return false, nil
	}
	f, err := m.tree.Open(m.entry)
	if err != nil {
		return false, err
	}
	defer f.Close()
	is, err := source.IsArchive(w.ctx, f)
	if err != nil || !is {
		return false, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	top, _, err := w.resolve("/", false)
	if err != nil {
		return false, err
	}
	defer top.close()
	stage, err := newStage(top)
	if err != nil {
		return false, err
	}
	defer func() {
		stage.close()
		err = errors.Join(err, removeTree(top, stage.name))
	}()
	if err := w.extract(f, stage); err != nil {
		return false, err
	}
	if err := m.tree.Unchanged(int(f.Fd()), m.entry); err != nil {
		return false, err
	}
	dst, err := w.makeDir(d.path)
	if err != nil {
		return false, err
	}
	defer dst.close()
	return true, w.settle(stage, dst)
}

// stage is the directory that an archive is unpacked into.
type stage struct {
	*node
	name string
}

// untouched is the time that a stage has while its archive has said nothing
// about its own top.
const untouched = 1

func newStage(top *node) (*stage, error) {
	name := ".devstack-add-" + rand.Text()
	if err := unix.Mkdirat(top.fd, name, 0o755); err != nil {
		return nil, fail("make directory", top, name, err)
	}
	n, err := openNode(top, name)
	if err != nil {
		return nil, err
	}
	return &stage{n, name}, nil
}

func (w *writer) extract(f *os.File, s *stage) error {
	if err := utimes(s.fd, "", untouched, untouched); err != nil {
		return fail("set times of", s.node, "", err)
	}
	plain, err := source.Decompress(w.ctx, f)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	defer plain.Close()
	// What is damaged at its end is damaged; and xz is waited for.
	err = layer.UnpackAll(w.ctx, plain, strings.TrimSuffix(procPath(s.fd, ""), "/"), layer.Limits{Bytes: w.o.MaxBytes})
	var refused *layer.RefusedError
	if errors.As(err, &refused) {
		return fmt.Errorf("archive refused: %s", strings.TrimPrefix(refused.Error(), "layer refused: "))
	}
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	return nil
}

// settle moves what was unpacked to where it belongs.
func (w *writer) settle(s *stage, dst *node) error {
	var st unix.Stat_t
	if err := unix.Fstat(s.fd, &st); err != nil {
		return err
	}
	if err := w.merge(s.node, dst); err != nil {
		return err
	}
	if st.Mtim.Nano() == untouched { // the archive has no entry for its top
		return nil
	}
	return w.adopt(&st, s.node, dst)
}

// merge moves the entries of one directory into another. Everything is given
// its final owner and times before it moves.
func (w *writer) merge(from, to *node) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	names, err := from.names()
	if err != nil {
		return fail("read", from, "", err)
	}
	for _, name := range names {
		var st, there unix.Stat_t
		if err := unix.Fstatat(from.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fail("stat", from, name, err)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 {
			return fault(path.Join(to.path, name), "the archive is a layer of an image (%s%s), which ADD does not apply", ".wh.", name)
		}
		err := unix.Fstatat(to.fd, name, &there, unix.AT_SYMLINK_NOFOLLOW)
		switch {
		case err != nil && err != unix.ENOENT:
			err = fail("stat", to, name, err)
		case st.Mode&unix.S_IFMT == unix.S_IFDIR:
			err = w.mergeDir(&st, from, to, name, err == nil && there.Mode&unix.S_IFMT == unix.S_IFDIR, err == nil)
		default:
			err = w.mergeFile(&st, from, to, name, err == nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mergeDir moves a directory, or its content if there is one already.
func (w *writer) mergeDir(st *unix.Stat_t, from, to *node, name string, isDir, exists bool) error {
	if exists && !isDir {
		if err := unix.Unlinkat(to.fd, name, 0); err != nil {
			return fail("replace", to, name, err)
		}
	}
	if !isDir {
		if err := unix.Mkdirat(to.fd, name, 0o700); err != nil {
			return fail("make directory", to, name, err)
		}
	}
	a, err := openNode(from, name)
	if err != nil {
		return err
	}
	defer a.close()
	b, err := openNode(to, name)
	if err != nil {
		return err
	}
	defer b.close()
	if err := w.merge(a, b); err != nil {
		return err
	}
	return w.adopt(st, a, b)
}

// adopt gives a directory owner, mode, attributes and times of another.
func (w *writer) adopt(st *unix.Stat_t, from, to *node) error {
	uid, gid := int(st.Uid), int(st.Gid)
	if w.uid >= 0 {
		uid, gid = w.uid, w.gid
	}
	err := unix.Fchown(to.fd, uid, gid)
	if err == nil {
		err = unix.Fchmod(to.fd, st.Mode&0o7777)
	}
	if err == nil {
		err = copyXattrs(from.fd, to.fd)
	}
	if err == nil {
		err = utimes(to.fd, "", w.noYounger(st.Mtim.Nano()), w.noYounger(st.Mtim.Nano()))
	}
	if err != nil {
		return fail("set attributes of", to, "", err)
	}
	return nil
}

func copyXattrs(from, to int) error {
	attrs, err := source.Xattrs(from)
	if err != nil {
		return err
	}
	for _, a := range attrs {
		if err := setXattr(a.Name, unix.Fsetxattr(to, a.Name, []byte(a.Value), 0)); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) mergeFile(st *unix.Stat_t, from, to *node, name string, exists bool) error {
	if exists {
		if err := unix.Unlinkat(to.fd, name, 0); err == unix.EISDIR || err == unix.EPERM {
			if err := removeTree(to, name); err != nil {
				return err
			}
		} else if err != nil {
			return fail("replace", to, name, err)
		}
	}
	if err := w.restamp(st, from, name); err != nil {
		return fail("set attributes of", to, name, err)
	}
	if err := unix.Renameat(from.fd, name, to.fd, name); err != nil {
		return fail("move", to, name, err)
	}
	return nil
}

// restamp gives a file of an archive the owner of --chown, without losing
// what chown(2) clears, and no time after the epoch.
func (w *writer) restamp(st *unix.Stat_t, dir *node, name string) error {
	if w.uid >= 0 && (int(st.Uid) != w.uid || int(st.Gid) != w.gid) {
		capability := capabilityOf(dir, name, st)
		if err := unix.Fchownat(dir.fd, name, w.uid, w.gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFLNK && st.Mode&(setuid|setgid) != 0 {
			if err := unix.Fchmodat(dir.fd, name, st.Mode&0o7777, 0); err != nil {
				return err
			}
		}
		if capability != nil {
			if err := unix.Lsetxattr(procPath(dir.fd, name), "security.capability", capability, 0); err != nil {
				return err
			}
		}
	}
	if m := st.Mtim.Nano(); w.noYounger(m) != m {
		return utimes(dir.fd, name, w.noYounger(m), w.noYounger(m))
	}
	return nil
}

func capabilityOf(dir *node, name string, st *unix.Stat_t) []byte {
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil
	}
	buf := make([]byte, 64)
	n, err := unix.Lgetxattr(procPath(dir.fd, name), "security.capability", buf)
	if err != nil {
		return nil
	}
	return buf[:n]
}

func (w *writer) noYounger(ns int64) int64 {
	if w.o.Epoch.IsZero() {
		return ns
	}
	return min(ns, w.o.Epoch.UnixNano())
}

// names lists a directory.
func (n *node) names() ([]string, error) {
	fd, err := unix.Openat(n.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), n.path)
	defer f.Close()
	return f.Readdirnames(-1)
}
