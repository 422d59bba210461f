package layer_test

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"devstack/engine/image/imagetest"
	"devstack/engine/image/layer"
)

// TestDeepTree is one that a container can make by mkdir and cd, over and over:
// it costs few descriptors to count, and goes.
func TestDeepTree(t *testing.T) {
	dir := imagetest.TempDir(t)
	const depth, size = 3000, 4096
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	for i := 0; i < depth && err == nil; i++ {
		var file, next int
		if err = unix.Mkdirat(fd, "deep", 0o755); err != nil {
			break
		}
		if next, err = unix.Openat(fd, "deep", unix.O_RDONLY|unix.O_DIRECTORY, 0); err != nil {
			break
		}
		unix.Close(fd)
		fd = next
		if file, err = unix.Openat(fd, "file", unix.O_CREAT|unix.O_WRONLY, 0o600); err != nil {
			break
		}
		_, err = unix.Write(file, make([]byte, size))
		unix.Close(file)
	}
	unix.Close(fd)
	if err != nil {
		t.Fatal(err)
	}
	n, err := layer.DiskUsage(t.Context(), dir)
	if err != nil || n < 100*size || n > 1000*size {
		t.Errorf("%d bytes, %v: want those of the first few hundred directories", n, err)
	}
	if err := layer.RemoveAll(filepath.Join(dir, "deep")); err != nil {
		t.Error(err)
	}
}
