package copy

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

const maxLinks = 40

// walk follows a path of the destination. It holds a descriptor for every
// directory on the way, so that ".." and links are resolved against what was
// really entered, and the root is where they end.
type walk struct {
	w     *writer
	stack []*node
	links int
}

// makeDir opens a directory of the destination, making what is missing.
func (w *writer) makeDir(p string) (*node, error) {
	dir, _, err := w.resolve(p, false)
	return dir, err
}

// locate finds where a file of that path lies: the directory it is in, made
// if need be, and its name, which is no link; or, if the path is a directory,
// that and "".
func (w *writer) locate(p string) (*node, string, error) { return w.resolve(p, true) }

func (w *writer) resolve(p string, file bool) (*node, string, error) {
	fd, err := unix.Openat(w.root, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, "", fail("open", &node{path: "/"}, "", err)
	}
	k := &walk{w: w, stack: []*node{{fd: fd, path: "/"}}}
	name, err := k.follow(p, file)
	top := k.stack[len(k.stack)-1]
	for _, n := range k.stack[:len(k.stack)-1] {
		n.close()
	}
	if err != nil {
		top.close()
		return nil, "", err
	}
	return top, name, nil
}

func (k *walk) at() *node { return k.stack[len(k.stack)-1] }

// follow walks p. If file is set and p is no directory it ends in front of
// the last part and returns that.
func (k *walk) follow(p string, file bool) (string, error) {
	todo := split(p)
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		if part == ".." {
			if n := len(k.stack); n > 1 {
				k.at().close()
				k.stack = k.stack[:n-1]
			}
			continue
		}
		var st unix.Stat_t
		err := unix.Fstatat(k.at().fd, part, &st, unix.AT_SYMLINK_NOFOLLOW)
		last := file && len(todo) == 0
		switch {
		case err == unix.ENOENT && last:
			return part, nil
		case err == unix.ENOENT:
			err = k.make(part)
		case err != nil:
			err = fail("stat", k.at(), part, err)
		case st.Mode&unix.S_IFMT == unix.S_IFDIR:
			err = k.enter(part)
		case k.w.o.Link && !last: // as if nothing was there
			if err = unix.Unlinkat(k.at().fd, part, 0); err == nil {
				err = k.make(part)
			}
		case k.w.o.Link:
			return part, nil
		case st.Mode&unix.S_IFMT == unix.S_IFLNK:
			var more []string
			more, err = k.link(part)
			todo = append(more, todo...)
		case last:
			return part, nil
		default:
			return "", fault(path.Join(k.at().path, part), "is a %s, not a directory", kindOf(&st))
		}
		if err != nil {
			return "", err
		}
	}
	return "", nil
}

func (k *walk) enter(name string) error {
	n, err := openNode(k.at(), name)
	if err == nil {
		k.stack = append(k.stack, n)
	}
	return err
}

// make makes a directory on the way: it belongs to --chown, and has the mode
// of an octal --chmod, as with BuildKit.
func (k *walk) make(name string) error {
	mode := k.w.mode.parents()
	if err := unix.Mkdirat(k.at().fd, name, mode&0o777); err != nil {
		return fail("make directory", k.at(), name, err)
	}
	if err := k.enter(name); err != nil {
		return err
	}
	n := k.at()
	if err := unix.Fchown(n.fd, max(k.w.uid, 0), max(k.w.gid, 0)); err != nil {
		return fail("set owner of", n, "", err)
	}
	if err := unix.Fchmod(n.fd, mode); err != nil {
		return fail("set mode of", n, "", err)
	}
	if k.w.o.Epoch.IsZero() {
		return nil
	}
	fd, err := unix.FcntlInt(uintptr(n.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fail("open", n, "", err)
	}
	k.w.made = append(k.w.made, &node{fd: fd, path: n.path})
	return nil
}

func (k *walk) link(name string) ([]string, error) {
	if k.links++; k.links > maxLinks {
		return nil, fault(path.Join(k.at().path, name), "leads through more than %d links", maxLinks)
	}
	buf := make([]byte, unix.PathMax+1)
	n, err := unix.Readlinkat(k.at().fd, name, buf)
	if err != nil {
		return nil, fail("read link", k.at(), name, err)
	}
	target := string(buf[:n])
	if strings.HasPrefix(target, "/") {
		for _, n := range k.stack[1:] {
			n.close()
		}
		k.stack = k.stack[:1]
	}
	return split(target), nil
}

func split(p string) []string {
	var out []string
	for part := range strings.SplitSeq(p, "/") {
		if part != "" && part != "." {
			out = append(out, part)
		}
	}
	return out
}
