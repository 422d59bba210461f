package copy

import (
	"context"
	"fmt"
	"math"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"devstack/engine/build/source"
)

// Into does planned copies beneath root, a writable directory which nobody
// else changes meanwhile.
func Into(ctx context.Context, root *os.File, ops Ops, o Options) (err error) {
	w := &writer{ctx: ctx, root: int(root.Fd()), o: o, uid: -1}
	if w.mode, err = ParseMode(o.Chmod); err != nil {
		return err
	}
	if w.uid, w.gid, err = owner(root, o); err != nil {
		return err
	}
	for _, m := range ops.moves {
		if err := w.move(m, ops.dest); err != nil {
			return fmt.Errorf("copy %s to %s: %w", m.label, ops.dest.path, err)
		}
	}
	return w.finish()
}

// writer is one Into.
type writer struct {
	ctx      context.Context
	root     int
	o        Options
	mode     Mode
	uid, gid int     // of --chown; -1 without
	made     []*node // directories on the way that need their times back
	buf      []byte
	noClone  bool // the file systems cannot share blocks
	noRange  bool // nor copy inside the kernel
}

// node is an open directory of the destination.
type node struct {
	fd   int
	path string // for errors
}

func (n *node) close() { unix.Close(n.fd) }

func (w *writer) move(m move, d destination) error {
	if m.unpack {
		done, err := w.unpack(m, d)
		if done || err != nil {
			return err
		}
	}
	if m.tree != nil && m.entry.Type == source.TypeDir {
		return w.directory(m, d)
	}
	return w.single(m, d)
}

// directory copies what a directory holds. The destination's own mode and
// owner stay, or are those of any directory made on the way.
func (w *writer) directory(m move, d destination) error {
	dir, err := w.makeDir(d.path)
	if err != nil {
		return err
	}
	defer dir.close()
	src, err := m.tree.OpenDir(m.entry)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := w.items(m, src, dir); err != nil {
		return err
	}
	return w.setTimes(dir.fd, "", m.tree, m.entry)
}

// single copies a file, or what is neither file nor directory.
func (w *writer) single(m move, d destination) error {
	dir, name, err := w.target(m, d)
	if err != nil {
		return err
	}
	defer dir.close()
	if m.tree == nil {
		return w.document(dir, name, m.data)
	}
	src, err := m.tree.OpenDir(m.tree.Parent(m.entry))
	if err != nil {
		return err
	}
	defer src.Close()
	return w.place(m.tree, src, m.entry, dir, name)
}

// target is where a file goes: into the destination if that is a directory or
// named as one, else to it.
func (w *writer) target(m move, d destination) (*node, string, error) {
	if d.dir {
		dir, err := w.makeDir(d.path)
		return dir, m.name, err
	}
	dir, name, err := w.locate(d.path)
	if err == nil && name == "" { // it is a directory
		name = m.name
	}
	return dir, name, err
}

// level is a directory that is being copied.
type level struct {
	rel   string
	src   *os.File
	dst   *node
	entry *source.Entry
	fresh bool // made by this copy
	it    item
}

// items copies the planned content of a directory. Items come parents first,
// so the open directories are a stack.
func (w *writer) items(m move, src *os.File, dst *node) (err error) {
	stack := []level{{src: src, dst: dst, entry: m.entry}}
	links := map[[2]uint64]string{}
	defer func() {
		for _, l := range stack[1:] {
			l.src.Close()
			l.dst.close()
		}
	}()
	for _, it := range m.items {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		parent := path.Dir(it.rel)
		if parent == "." {
			parent = ""
		}
		for stack[len(stack)-1].rel != parent {
			if stack, err = w.leave(m.tree, stack); err != nil {
				return err
			}
		}
		at := stack[len(stack)-1]
		if it.entry.Type == source.TypeDir {
			l, err := w.enter(m.tree, at, it)
			if err != nil {
				return err
			}
			stack = append(stack, l)
			continue
		}
		if err := w.linkOrPlace(m.tree, at, it, dst, links); err != nil {
			return err
		}
	}
	for len(stack) > 1 {
		if stack, err = w.leave(m.tree, stack); err != nil {
			return err
		}
	}
	return nil
}

// enter makes a directory, or merges with the one that is there.
func (w *writer) enter(t *source.Tree, at level, it item) (level, error) {
	src, err := t.OpenDir(it.entry)
	if err != nil {
		return level{}, err
	}
	dst, fresh, err := w.subdir(at.dst, it.entry.Name, 0o700)
	if err != nil {
		src.Close()
		return level{}, err
	}
	return level{rel: it.rel, src: src, dst: dst, entry: it.entry, fresh: fresh, it: it}, nil
}

// leave gives a directory what its content would have changed.
func (w *writer) leave(t *source.Tree, stack []level) ([]level, error) {
	l := stack[len(stack)-1]
	var err error
	if l.fresh || !l.it.implied {
		err = w.finishDir(t, l)
	}
	l.src.Close()
	l.dst.close()
	return stack[:len(stack)-1], err
}

// linkOrPlace makes hard links between files that are hard links of each
// other in the source.
func (w *writer) linkOrPlace(t *source.Tree, at level, it item, top *node, links map[[2]uint64]string) error {
	if it.entry.Type != source.TypeFile || it.entry.Stat.Links < 2 {
		return w.place(t, at.src, it.entry, at.dst, it.entry.Name)
	}
	id := [2]uint64{it.entry.Stat.Dev, it.entry.Stat.Ino}
	if first, ok := links[id]; ok {
		done, err := w.hardLink(top, first, at.dst, it.entry.Name)
		if done || err != nil {
			return err
		}
	}
	links[id] = it.rel
	return w.place(t, at.src, it.entry, at.dst, it.entry.Name)
}

// hardLink links to a file that was copied before; done is false where that
// cannot be, which only costs space.
func (w *writer) hardLink(top *node, first string, dir *node, name string) (done bool, err error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	from, err := unix.Openat2(top.fd, path.Dir(first), &how)
	if err != nil {
		return false, nil
	}
	defer unix.Close(from)
	if err := w.clear(dir, name); err != nil {
		return false, err
	}
	return unix.Linkat(from, path.Base(first), dir.fd, name, 0) == nil, nil
}

// clear makes room for something that is no directory.
func (w *writer) clear(dir *node, name string) error {
	err := unix.Unlinkat(dir.fd, name, 0)
	switch {
	case err == nil || err == unix.ENOENT:
		return nil
	case err != unix.EISDIR && err != unix.EPERM:
		return fail("replace", dir, name, err)
	case w.o.Link:
		return removeTree(dir, name)
	}
	return fault(path.Join(dir.path, name), "is a directory, which a file cannot replace")
}

func fail(op string, dir *node, name string, err error) error {
	return fmt.Errorf("%s %s: %w", op, path.Join(dir.path, name), err)
}

// finish sets the times of directories that were made on the way, the deepest
// first.
func (w *writer) finish() error {
	var first error
	for i := len(w.made) - 1; i >= 0; i-- {
		n := w.made[i]
		if !w.o.Epoch.IsZero() {
			ns := w.o.Epoch.UnixNano()
			if err := utimes(n.fd, "", ns, ns); err != nil && first == nil {
				first = fail("set times of", n, "", err)
			}
		}
		n.close()
	}
	w.made = nil
	return first
}

// times are what something copied gets: contexts know nothing worth keeping,
// as a clone has the times of its making, and nothing is younger than the
// epoch.
func (w *writer) times(t *source.Tree, e *source.Entry) (accessed, modified int64) {
	epoch := int64(math.MaxInt64)
	if !w.o.Epoch.IsZero() {
		epoch = w.o.Epoch.UnixNano()
		if !t.Dated() {
			return epoch, epoch
		}
		return min(e.Stat.Modified, epoch), min(e.Stat.Modified, epoch)
	}
	return min(e.Stat.Accessed, epoch), min(e.Stat.Modified, epoch)
}

func (w *writer) setTimes(fd int, name string, t *source.Tree, e *source.Entry) error {
	a, m := w.times(t, e)
	return utimes(fd, name, a, m)
}

// utimes sets times of name in the directory fd, or of fd itself.
func utimes(fd int, name string, accessed, modified int64) error {
	ts := [2]unix.Timespec{unix.NsecToTimespec(accessed), unix.NsecToTimespec(modified)}
	if name == "" {
		return futimens(fd, &ts)
	}
	return unix.UtimesNanoAt(fd, name, ts[:], unix.AT_SYMLINK_NOFOLLOW)
}
