package volumes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// copyTree makes the empty directory dst like src: entries of every type,
// owners, modes, times, extended attributes and hard links. It never leaves
// src: each entry is opened relative to its directory, links are not followed.
func copyTree(ctx context.Context, src *os.File, dst string) error {
	to, err := os.Open(dst)
	if err != nil {
		return err
	}
	defer to.Close()
	st, err := statFd(src)
	if err != nil {
		return err
	}
	c := copier{ctx: ctx, top: to, seen: map[inode]string{}}
	if err := c.directory(src, to, ""); err != nil {
		return err
	}
	return copyAttributes(src, to, st)
}

type inode struct{ dev, ino uint64 }

type copier struct {
	ctx  context.Context
	top  *os.File         // of the copy
	seen map[inode]string // files with several links: the path of the first copy
}

func (c *copier) directory(src, dst *os.File, path string) error {
	names, err := src.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("read /%s: %w", path, err)
	}
	for _, name := range names {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		below := name
		if path != "" {
			below = path + "/" + name
		}
		if err := c.entry(src, dst, name, below); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) entry(src, dst *os.File, name, path string) error {
	from, to := int(src.Fd()), int(dst.Fd())
	var st unix.Stat_t
	if err := unix.Fstatat(from, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("stat /%s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 {
		id := inode{st.Dev, st.Ino}
		if first, ok := c.seen[id]; ok {
			if err := unix.Linkat(int(c.top.Fd()), first, to, name, 0); err != nil {
				return fmt.Errorf("link /%s to /%s: %w", path, first, err)
			}
			return nil
		}
		c.seen[id] = path
	}
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		err = c.subdirectory(src, dst, name, path, &st)
	case unix.S_IFREG:
		err = copyRegular(from, to, name, &st)
	case unix.S_IFLNK:
		err = copySymlink(from, to, name, &st)
	default:
		err = unix.Mknodat(to, name, st.Mode, int(st.Rdev))
		if err == nil {
			err = copyAttributesAt(from, to, name, &st)
		}
	}
	if err != nil {
		return fmt.Errorf("copy /%s: %w", path, err)
	}
	return nil
}

func (c *copier) subdirectory(src, dst *os.File, name, path string, st *unix.Stat_t) error {
	if err := unix.Mkdirat(int(dst.Fd()), name, 0o700); err != nil {
		return err
	}
	from, err := openEntry(src, name, unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := openEntry(dst, name, unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer to.Close()
	if err := c.directory(from, to, path); err != nil {
		return err
	}
	return copyAttributes(from, to, st)
}

func openEntry(dir *os.File, name string, flags int) (*os.File, error) {
	// O_NONBLOCK: should the entry have become a FIFO, opening must not hang.
	fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func copyRegular(from, to int, name string, st *unix.Stat_t) error {
	in, err := unix.Openat(from, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	src := os.NewFile(uintptr(in), name)
	defer src.Close()
	out, err := unix.Openat(to, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	dst := os.NewFile(uintptr(out), name)
	defer dst.Close()
	if unix.IoctlFileClone(out, in) != nil { // a file system without reflinks, or two of them
		if err := copyExtents(src, dst, st.Size); err != nil {
			return err
		}
	}
	if err := copyAttributes(src, dst, st); err != nil {
		return err
	}
	return dst.Close()
}

// copyExtents copies the file's data and leaves its holes holes.
// io.CopyN between files is copy_file_range(2) where the kernel can.
func copyExtents(src, dst *os.File, size int64) error {
	for at := int64(0); at < size; {
		data, err := unix.Seek(int(src.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // a hole up to the end
		}
		hole := size
		if err != nil {
			data = at // SEEK_DATA is not known here
		} else if hole, err = unix.Seek(int(src.Fd()), data, unix.SEEK_HOLE); err != nil {
			hole = size
		}
		if _, err := src.Seek(data, io.SeekStart); err != nil {
			return err
		}
		if _, err := dst.Seek(data, io.SeekStart); err != nil {
			return err
		}
		if n, err := io.CopyN(dst, src, hole-data); err != nil {
			if !errors.Is(err, io.EOF) {
				return err
			}
			size = data + n // the file has shrunk
		}
		at = hole
	}
	return dst.Truncate(size)
}

func copySymlink(from, to int, name string, st *unix.Stat_t) error {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(from, name, buf)
	if err != nil {
		return err
	}
	if err := unix.Symlinkat(string(buf[:n]), to, name); err != nil {
		return err
	}
	return copyAttributesAt(from, to, name, st)
}

func statFd(f *os.File) (*unix.Stat_t, error) {
	st := new(unix.Stat_t)
	return st, unix.Fstat(int(f.Fd()), st)
}

// copyAttributes gives dst the owner, mode, extended attributes and times of
// src, in the order that keeps each: chown clears set-user-id bits and file
// capabilities, and every change touches the times.
func copyAttributes(src, dst *os.File, st *unix.Stat_t) error {
	fd := int(dst.Fd())
	if err := unix.Fchown(fd, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, st.Mode&0o7777); err != nil {
		return err
	}
	if err := copyXattrs(procPath(int(src.Fd()), ""), procPath(fd, ""), false); err != nil {
		return err
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, procPath(fd, ""), []unix.Timespec{st.Atim, st.Mtim}, 0)
}

// copyAttributesAt does the same for what cannot be opened.
func copyAttributesAt(from, to int, name string, st *unix.Stat_t) error {
	if err := unix.Fchownat(to, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Fchmodat(to, name, st.Mode&0o7777, 0); err != nil {
			return err
		}
	}
	if err := copyXattrs(procPath(from, name), procPath(to, name), true); err != nil {
		return err
	}
	return unix.UtimesNanoAt(to, name, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

// procPath names an open descriptor, or an entry of it, for the calls that
// take paths only.
func procPath(fd int, name string) string {
	if name == "" {
		return fmt.Sprintf("/proc/self/fd/%d", fd)
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", fd, name)
}

func copyXattrs(src, dst string, link bool) error {
	list, get, set := unix.Listxattr, unix.Getxattr, unix.Setxattr
	if link {
		list, get, set = unix.Llistxattr, unix.Lgetxattr, unix.Lsetxattr
	}
	names, err := readXattr(func(b []byte) (int, error) { return list(src, b) })
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		// An overlay's own bookkeeping means something else elsewhere.
		if name == "" || strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.") {
			continue
		}
		value, err := readXattr(func(b []byte) (int, error) { return get(src, name, b) })
		if err != nil {
			return fmt.Errorf("read attribute %s: %w", name, err)
		}
		err = set(dst, name, value, 0)
		if err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("write attribute %s: %w", name, err)
		}
	}
	return nil
}

func readXattr(read func([]byte) (int, error)) ([]byte, error) {
	buf := make([]byte, 256)
	n, err := read(buf)
	if errors.Is(err, unix.ERANGE) {
		buf = make([]byte, 64<<10) // the kernel's own limit
		n, err = read(buf)
	}
	if err != nil {
		return nil, err
	}
	return buf[:n], nil
}
