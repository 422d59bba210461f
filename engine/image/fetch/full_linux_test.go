package fetch

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"devstack/engine/image"
	"devstack/engine/image/imagetest"
	"devstack/engine/image/store"
)

// TestFullDisk pulls into file systems that are too small, in a mount
// namespace of its own: of bytes, and of inodes.
func TestFullDisk(t *testing.T) {
	if !imagetest.OwnMounts(t) {
		return
	}
	files := map[string]string{}
	for i := range 300 {
		files["f"+strings.Repeat("x", i%50)+string(rune('a'+i/50))] = "content"
	}
	img := imagetest.New(t, image.Config{}, bulk(t, 1_500_000), imagetest.Files(t, files))
	for name, options := range map[string]string{"bytes": "size=2m", "inodes": "nr_inodes=120"} {
		t.Run(name, func(t *testing.T) {
			ref := imagetest.Serve(t, nil).Push(t, "a:1", img)
			root := t.TempDir()
			if err := unix.Mount("tmpfs", root, "tmpfs", 0, options); err != nil {
				t.Fatal(err)
			}
			defer unix.Unmount(root, unix.MNT_DETACH)
			s, err := store.Open(root)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Ensure(t.Context(), s, ref, Options{})
			var known *image.Error
			if !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &known) || !strings.Contains(known.Hint, "space") {
				t.Errorf("error is %v (hint %q)", err, image.Hint(err))
			}
			s.Close()
			checkTidy(t, root)
			if names, _ := filepath.Glob(root + "/layers/sha256/*"); len(names) > 1 {
				t.Errorf("layers of a failed pull: %v", names)
			}
			if err := unix.Mount("tmpfs", root, "tmpfs", unix.MS_REMOUNT, "size=64m,nr_inodes=10000"); err != nil {
				t.Fatal(err)
			}
			s, err = store.Open(root)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if _, err := Ensure(t.Context(), s, ref, Options{}); err != nil {
				t.Errorf("with space again: %v", err)
			}
		})
	}
}
