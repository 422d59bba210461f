package commit_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"devstack/engine/image/commit"
	"devstack/engine/image/imagetest"
	"devstack/engine/image/store"
)

// TestFullDisk commits into a file system that is too small, in a mount
// namespace of its own: the tree stays, and with space it becomes the layer.
func TestFullDisk(t *testing.T) {
	if !imagetest.OwnMounts(t) {
		return
	}
	root := t.TempDir()
	must(t, unix.Mount("tmpfs", root, "tmpfs", 0, "size=8m"))
	defer unix.Unmount(root, unix.MNT_DETACH)
	s, err := store.Open(root)
	must(t, err)
	dir := filepath.Join(root, "tree")
	must(t, os.Mkdir(dir, 0o755))
	write(t, dir+"/big", strings.Repeat("0123456789abcdef", 300_000), 0o600)
	for range 2 {
		if _, err := commit.Layer(t.Context(), s, dir, commit.Options{Compression: commit.None}); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("error is %v", err)
		}
		checkTidy(t, root)
	}
	must(t, unix.Mount("tmpfs", root, "tmpfs", unix.MS_REMOUNT, "size=64m"))
	l, err := commit.Layer(t.Context(), s, dir, commit.Options{Compression: commit.None})
	must(t, err)
	if fi, err := os.Stat(l.Dir + "/big"); err != nil || fi.Size() != 4_800_000 {
		t.Errorf("%v, %v", fi, err)
	}
	s.Close()
}
