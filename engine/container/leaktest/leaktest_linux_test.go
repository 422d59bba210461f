package leaktest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestSeesFilesAndProcesses(t *testing.T) {
	before := look(nil)
	f, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/busybox", "sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Skip("needs busybox")
	}
	leaks := strings.Join(look(nil).since(before), "\n")
	f.Close()
	cmd.Process.Kill()
	cmd.Wait()
	if !strings.Contains(leaks, "/dev/zero") || !strings.Contains(leaks, "process") {
		t.Errorf("got %q", leaks)
	}
	for _, l := range look(nil).since(before) {
		t.Errorf("still there: %s", l)
	}
}

func TestSeesGroups(t *testing.T) {
	name := "leaktest-" + strings.ToLower(t.Name())
	dir := "/sys/fs/cgroup/unified/" + name
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skip(err)
	}
	defer os.Remove(dir)
	if found := Find(name); len(found) != 1 {
		t.Errorf("got %q", found)
	}
}
