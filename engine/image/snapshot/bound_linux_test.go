package snapshot

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"devstack/engine/image/imagetest"
)

// TestBoundIsMountedOnce: after a restart of the machine several may want a
// container's own file system at once. A second mount would destroy it.
func TestBoundIsMountedOnce(t *testing.T) {
	if err := CanBound(); err != nil {
		t.Skip(err)
	}
	root := imagetest.TempDir(t)
	img := makeImage(t, root, map[string]string{"a": "1"})
	s, err := Prepare(root, id, img, 16<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Remove(root, id); err != nil {
			t.Error(err)
		}
		if n := mountsBelow(t, root); n != 0 {
			t.Errorf("%d mounts are left", n)
		}
	})
	if err := os.WriteFile(filepath.Join(s.Upper, "kept"), []byte("k"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := unix.Unmount(filepath.Join(root, "containers", id, diskDir), 0); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if b, err := os.ReadFile(filepath.Join(Upper(root, id), "kept")); err != nil || string(b) != "k" {
					t.Errorf("%q, %v", b, err)
				}
			})
		}
		wg.Wait()
		if n := mountsBelow(t, root); n != 1 {
			t.Fatalf("%d mounts of one file system", n)
		}
	}
}

// mountsBelow counts what is mounted beneath a directory.
func mountsBelow(t *testing.T, dir string) (n int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			n++
		}
	}
	return n
}
