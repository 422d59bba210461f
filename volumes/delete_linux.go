package volumes

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// deleteTree deletes the folder name below the store. Every step is relative
// to an open directory and refuses symbolic links and mount points, so that
// nothing outside goes with it, whatever happens in the tree meanwhile.
func (s *Store) deleteTree(ctx context.Context, name string) error {
	top, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer top.Close()
	return deleteAt(ctx, int(top.Fd()), name, name)
}

func deleteAt(ctx context.Context, dirfd int, name, shown string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := unix.Unlinkat(dirfd, name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("delete %s: %w", shown, err)
	}
	fd, openErr := unix.Openat2(dirfd, name, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	})
	switch {
	case errors.Is(openErr, unix.ENOTDIR):
		return fmt.Errorf("delete %s: %w", shown, err)
	case errors.Is(openErr, unix.EXDEV):
		return fmt.Errorf("delete %s: something is mounted there: unmount it first", shown)
	case openErr != nil:
		return fmt.Errorf("delete %s: %w", shown, openErr)
	}
	dir := os.NewFile(uintptr(fd), shown)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("delete %s: %w", shown, err)
	}
	for _, n := range names {
		if err := deleteAt(ctx, fd, n, shown+"/"+n); err != nil {
			return err
		}
	}
	if err := unix.Unlinkat(dirfd, name, unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("delete %s: %w", shown, err)
	}
	return nil
}
