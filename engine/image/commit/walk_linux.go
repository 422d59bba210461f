package commit

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"devstack/engine/image/layer"
)

const (
	whiteoutPrefix = ".wh."
	opaqueMarker   = ".wh..wh..opq"
	maxPath        = 4096
)

// walker writes a tree into a tar stream, entries of a directory sorted by
// their bytes, a directory before what is in it.
type walker struct {
	ctx   context.Context
	tw    *tar.Writer
	o     Options
	dev   uint64
	links map[inode]string // first names of files with several
	buf   []byte
}

type inode struct{ dev, ino uint64 }

func pack(ctx context.Context, tw *tar.Writer, dir string, o Options) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	w := &walker{ctx: ctx, tw: tw, o: o, links: map[inode]string{}, buf: make([]byte, 128<<10)}
	return w.root(fd)
}

// root writes an entry for the root directory only if it is not what it is
// without one.
func (w *walker) root(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return os.NewSyscallError("fstat", err)
	}
	w.dev = uint64(st.Dev)
	attrs, err := w.attributes(fdAttrs(fd), "")
	if err == nil && (st.Mode&0o7777 != 0o755 || st.Uid != 0 || st.Gid != 0 || len(attrs.keep) > 0) {
		h := w.header(&st, "./", tar.TypeDir)
		h.PAXRecords = attrs.keep
		err = w.tw.WriteHeader(h)
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	return w.children(fd, "")
}

// children writes what is in a directory, and closes it.
func (w *walker) children(fd int, path string) error {
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("list %q: %w", path, err)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if err := w.entry(fd, join(path, name), name); err != nil {
			return err
		}
	}
	return nil
}

func join(dir, base string) string {
	if dir == "" {
		return base
	}
	return dir + "/" + base
}

func (w *walker) entry(dirfd int, path, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	switch {
	case strings.HasPrefix(name, whiteoutPrefix):
		return &layer.RefusedError{Entry: path, Reason: "has a name that means the absence of a file in image layers (.wh.)"}
	case len(path) >= maxPath-len(opaqueMarker):
		return &layer.RefusedError{Entry: path[:40] + "...", Reason: fmt.Sprintf("has a name of %d bytes", len(path))}
	case slices.Contains(w.o.Omit, path):
		return w.drop(dirfd, path, name)
	case w.o.Plain && uint64(st.Dev) != w.dev:
		return w.mountPoint(&st, path)
	}
	if st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR && !(layer.IsWhiteout(&st) && !w.o.Plain) {
		if first, ok := w.links[inode{uint64(st.Dev), st.Ino}]; ok {
			return w.hardLink(&st, path, first)
		}
		w.links[inode{uint64(st.Dev), st.Ino}] = path
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return w.dir(dirfd, &st, path, name)
	case unix.S_IFREG:
		return w.file(dirfd, &st, path, name)
	case unix.S_IFLNK:
		return w.symlink(dirfd, &st, path, name)
	case unix.S_IFIFO:
		return w.special(dirfd, &st, path, name, tar.TypeFifo)
	case unix.S_IFCHR:
		if layer.IsWhiteout(&st) && !w.o.Plain {
			return w.whiteout(dirfd, path, name)
		}
		return w.special(dirfd, &st, path, name, tar.TypeChar)
	case unix.S_IFBLK:
		return w.special(dirfd, &st, path, name, tar.TypeBlock)
	}
	// Nobody listens on a socket in an image, and tar has none.
	return w.drop(dirfd, path, name)
}

// drop removes what the layer does not have from a tree that becomes it.
func (w *walker) drop(dirfd int, path, name string) error {
	if w.o.Keep {
		return nil
	}
	if err := layer.RemoveTree(dirfd, name); err != nil {
		return fmt.Errorf("remove %q: %w", path, err)
	}
	return nil
}

// mountPoint writes the directory that another file system is mounted on.
func (w *walker) mountPoint(st *unix.Stat_t, path string) error {
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	return w.tw.WriteHeader(w.header(st, path+"/", tar.TypeDir))
}

func (w *walker) dir(dirfd int, st *unix.Stat_t, path, name string) error {
	fd, err := unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	if err := w.dirEntry(fd, st, path); err != nil {
		unix.Close(fd)
		return err
	}
	if err := w.children(fd, path); err != nil {
		return err
	}
	return w.settle(dirfd, st, path, name)
}

func (w *walker) dirEntry(fd int, st *unix.Stat_t, path string) error {
	attrs, err := w.attributes(fdAttrs(fd), path)
	if err != nil {
		return err
	}
	h := w.header(st, path+"/", tar.TypeDir)
	h.PAXRecords = attrs.keep
	if err := w.tw.WriteHeader(h); err != nil {
		return err
	}
	if !attrs.opaque {
		return nil
	}
	if w.o.Lower != nil && !isDirBelow(w.o.Lower, path) {
		if w.o.Keep {
			return nil
		}
		return unix.Fremovexattr(fd, layer.OpaqueXattr)
	}
	return w.tw.WriteHeader(w.marker(path + "/" + opaqueMarker))
}

// whiteout writes the mark that hides name of lower layers.
func (w *walker) whiteout(dirfd int, path, name string) error {
	if w.o.Lower != nil && !existsBelow(w.o.Lower, path) {
		return w.drop(dirfd, path, name)
	}
	return w.tw.WriteHeader(w.marker(path[:len(path)-len(name)] + whiteoutPrefix + name))
}

// marker is an empty file that means something: all of its times are the
// same, since overlayfs keeps none.
func (w *walker) marker(name string) *tar.Header {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Format: tar.FormatPAX}
	if !w.o.Epoch.IsZero() {
		h.ModTime = w.o.Epoch
	}
	return h
}

func (w *walker) file(dirfd int, st *unix.Stat_t, path, name string) error {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(dirfd, name, flags, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	attrs, err := w.attributes(fdAttrs(fd), path)
	if err != nil {
		return err
	}
	h := w.header(st, path, tar.TypeReg)
	h.Size, h.PAXRecords = st.Size, attrs.keep
	if err := w.tw.WriteHeader(h); err != nil {
		return err
	}
	if err := w.content(fd, st.Size); err != nil {
		return fmt.Errorf("read %q: %w", path, err)
	}
	return w.settle(dirfd, st, path, name)
}

var errChanged = errors.New("it changes while it is being read")

func (w *walker) content(fd int, size int64) error {
	for left := size; left > 0; {
		n, err := unix.Read(fd, w.buf[:min(left, int64(len(w.buf)))])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case n == 0:
			return errChanged
		}
		if _, err := w.tw.Write(w.buf[:n]); err != nil {
			return err
		}
		left -= int64(n)
		if err := w.ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) symlink(dirfd int, st *unix.Stat_t, path, name string) error {
	n, err := unix.Readlinkat(dirfd, name, w.buf[:maxPath])
	if err != nil {
		return &os.PathError{Op: "readlink", Path: path, Err: err}
	}
	h := w.header(st, path, tar.TypeSymlink)
	h.Linkname = string(w.buf[:n])
	return w.plain(dirfd, st, path, name, h)
}

func (w *walker) special(dirfd int, st *unix.Stat_t, path, name string, kind byte) error {
	h := w.header(st, path, kind)
	if kind != tar.TypeFifo {
		h.Devmajor, h.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
		if !w.o.Devices && !layer.Harmless(h) {
			return &layer.RefusedError{Entry: path, Reason: fmt.Sprintf("is a device node (%d:%d)", h.Devmajor, h.Devminor)}
		}
	}
	return w.plain(dirfd, st, path, name, h)
}

// plain writes an entry that cannot be opened and has no content.
func (w *walker) plain(dirfd int, st *unix.Stat_t, path, name string, h *tar.Header) error {
	attrs, err := w.attributes(pathAttrs(dirfd, name), path)
	if err != nil {
		return err
	}
	h.PAXRecords = attrs.keep
	if err := w.tw.WriteHeader(h); err != nil {
		return err
	}
	return w.settle(dirfd, st, path, name)
}

func (w *walker) hardLink(st *unix.Stat_t, path, first string) error {
	h := w.header(st, path, tar.TypeLink)
	h.Linkname = first
	return w.tw.WriteHeader(h)
}
