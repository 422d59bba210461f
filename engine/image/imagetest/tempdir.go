package imagetest

import (
	"os"
	"testing"
)

// TempDir is t.TempDir in memory where there is a /dev/shm: tests of trees
// make thousands of files.
func TempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "devstack-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	return dir
}
