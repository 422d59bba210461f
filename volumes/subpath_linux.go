package volumes

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// OpenSubpath opens the file or directory sub of the volume's directory dir,
// with O_PATH, resolving symbolic links as if dir were "/". Mounting the
// descriptor (not the path) is safe against a container that changes the
// volume meanwhile.
func OpenSubpath(dir, sub string) (*os.File, error) {
	top, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open volume: %w", err)
	}
	defer top.Close()
	for part := range strings.SplitSeq(sub, "/") {
		if part == ".." {
			return nil, fmt.Errorf("subpath %q of a volume must not contain %q", sub, "..")
		}
	}
	fd, err := openInRoot(int(top.Fd()), sub, unix.O_PATH)
	if errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("subpath %q does not exist in the volume", sub)
	}
	if err != nil {
		return nil, fmt.Errorf("open subpath %q of a volume: %w", sub, err)
	}
	return os.NewFile(uintptr(fd), sub), nil
}

// openInRoot opens path as a process whose root is the directory would.
func openInRoot(root int, path string, flags uint64) (int, error) {
	for {
		fd, err := unix.Openat2(root, path, &unix.OpenHow{
			Flags:   flags | unix.O_CLOEXEC,
			Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
		})
		// EAGAIN: a rename elsewhere raced with a "..", see openat2(2).
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}
