package layer

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// DiskUsage is what a tree takes on disk, in bytes: a file with several names
// counts once, what is mounted in it not at all. A tree that changes
// meanwhile, or is not there, is no fault.
func DiskUsage(ctx context.Context, dir string) (int64, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return 0, os.NewSyscallError("fstat", err)
	}
	c := &counter{ctx: ctx, dev: uint64(st.Dev), seen: map[uint64]struct{}{}, bytes: st.Blocks * 512}
	err = c.children(fd, dir, 0)
	return c.bytes, err
}

type counter struct {
	ctx   context.Context
	dev   uint64
	seen  map[uint64]struct{} // inodes of several names
	bytes int64
}

// maxCounted bounds the directories that are open at a time: what a container
// hides deeper is not counted, rather than that descriptors run out.
const maxCounted = 500

// children counts what is in a directory, and closes it.
func (c *counter) children(fd int, path string, depth int) error {
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	for {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		names, err := dir.Readdirnames(1024)
		for _, name := range names {
			if err := c.entry(fd, path, name, depth); err != nil {
				return err
			}
		}
		if err != nil || len(names) == 0 {
			return nil
		}
	}
}

func (c *counter) entry(dirfd int, path, name string, depth int) error {
	var st unix.Stat_t
	if unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || uint64(st.Dev) != c.dev {
		return nil
	}
	isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	if !isDir && st.Nlink > 1 {
		if _, ok := c.seen[st.Ino]; ok {
			return nil
		}
		c.seen[st.Ino] = struct{}{}
	}
	c.bytes += st.Blocks * 512
	if !isDir || depth >= maxCounted {
		return nil
	}
	fd, err := unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	return c.children(fd, join(path, name), depth+1)
}
