package imagetest

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// OwnMounts runs the calling test once more, in a mount namespace of its own,
// and is true there; else the test has nothing left to do.
func OwnMounts(t *testing.T) bool {
	t.Helper()
	const mark = "DEVSTACK_TEST_MOUNTS"
	if os.Getenv(mark) != "" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), mark+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}
