package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// rootLowers are the lowers of a rootfs: image: the directory, and over it a
// layer that hides the data root where that lies inside, with everything the
// containers keep there.
func rootLowers(dataRoot, root string) (dirs, submounts []string, err error) {
	dirs = []string{root}
	if inside, ok := beneath(root, dataRoot); ok && !isOwn(inside) {
		mask, err := maskLayer(dataRoot, root, inside)
		if err != nil {
			return nil, nil, fmt.Errorf("hide %s from the container: %w", dataRoot, err)
		}
		dirs = []string{mask, root}
	}
	submounts, err = submountsOf(root, dataRoot)
	return dirs, submounts, err
}

// maskLayer is a tree of the directories on the way to the data root, like
// those of root, with a whiteout at its end. It is made once.
func maskLayer(dataRoot, root, inside string) (string, error) {
	sum := sha256.Sum256([]byte(root + "\x00" + inside))
	final := filepath.Join(dataRoot, "layers", "mask-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Lstat(final); err == nil {
		return final, nil
	}
	tmp, err := os.MkdirTemp(filepath.Dir(final), "mask-tmp-")
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(final), 0o700); err != nil {
			return "", err
		}
		tmp, err = os.MkdirTemp(filepath.Dir(final), "mask-tmp-")
	}
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := copyDirMeta(root, tmp); err != nil {
		return "", err
	}
	at := ""
	parts := strings.Split(inside, "/")
	for _, part := range parts[:len(parts)-1] {
		at += "/" + part
		if err := os.Mkdir(tmp+at, 0o755); err != nil {
			return "", err
		}
		if err := copyDirMeta(root+at, tmp+at); err != nil {
			return "", err
		}
	}
	if err := unix.Mknod(filepath.Join(tmp, inside), unix.S_IFCHR, 0); err != nil {
		return "", os.NewSyscallError("mknod", err)
	}
	if err := os.Rename(tmp, final); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return final, nil
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
