package snapshot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// prepareRoot gives the upper directory of a rootfs: image the root's own mode
// and hides the data root in it, where that lies inside: a container must not
// see what others keep there. A layer with the whiteout would be shared, but
// overlayfs refuses a lower directory inside of another (ELOOP).
func prepareRoot(dataRoot, root, upper string) error {
	if err := copyDirMeta(root, upper); err != nil {
		return err
	}
	inside, ok := beneath(root, dataRoot)
	if !ok || isOwn(inside) {
		return nil
	}
	at := ""
	parts := strings.Split(inside, "/")
	for _, part := range parts[:len(parts)-1] {
		at += "/" + part
		err := os.Mkdir(upper+at, 0o755)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err == nil {
			err = copyDirMeta(filepath.Join(root, at), upper+at)
		}
		if err != nil {
			return fmt.Errorf("hide %s from the container: %w", dataRoot, err)
		}
	}
	if err := unix.Mknod(filepath.Join(upper, inside), unix.S_IFCHR, 0); err != nil && err != unix.EEXIST {
		return fmt.Errorf("hide %s from the container: %w", dataRoot, err)
	}
	return nil
}

func copyDirMeta(from, to string) error {
	var st unix.Stat_t
	if err := unix.Stat(from, &st); err != nil {
		return &os.PathError{Op: "stat", Path: from, Err: err}
	}
	if err := unix.Chown(to, int(st.Uid), int(st.Gid)); err != nil {
		return &os.PathError{Op: "chown", Path: to, Err: err}
	}
	return unix.Chmod(to, st.Mode&0o7777)
}
