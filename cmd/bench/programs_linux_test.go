package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func writeProgram(t *testing.T, code string) string {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("the small programs are for amd64")
	}
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, elfProgram(code), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTrue(t *testing.T) {
	if err := exec.Command(writeProgram(t, codeTrue)).Run(); err != nil {
		t.Error(err)
	}
}

// TestIdle runs idle as pid 1 of a namespace, as a container does.
func TestIdle(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a pid namespace needs root")
	}
	for _, sig := range []syscall.Signal{unix.SIGTERM, unix.SIGINT} {
		cmd := exec.Command(writeProgram(t, codeIdle))
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Pdeathsig: unix.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitBlocked(t, cmd.Process.Pid)
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("after %v: %v", sig, err)
		}
	}
}

// waitBlocked waits until the process waits for its signals: while it does,
// the kernel shows the call, not the mask.
func waitBlocked(t *testing.T, pid int) {
	t.Helper()
	const sigtimedwait = "128 "
	for range 1_000_000 {
		call, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "syscall"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(call), sigtimedwait) {
			return
		}
		runtime.Gosched()
	}
	t.Fatal("idle does not wait for signals")
}

// TestBaseline runs bench without a devstack, from the namespaces to the
// report, and looks for what it leaves behind.
func TestBaseline(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("namespaces need root")
	}
	if _, err := exec.LookPath("crun"); err != nil {
		t.Skip("crun is not installed")
	}
	dir := t.TempDir()
	bench := filepath.Join(dir, "bench")
	build := exec.Command("go", "build", "-o", bench, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	temp := filepath.Join(dir, "tmp")
	if err := os.Mkdir(temp, 0o755); err != nil {
		t.Fatal(err)
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	cmd := exec.Command(bench, "-devstack", "/nonexistent", "-peers=false")
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if s := string(out); !strings.Contains(s, "baseline") || !strings.Contains(s, "25 runs") || !strings.Contains(s, "no such file") {
		t.Errorf("report:\n%s", s)
	}
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("left in the temporary directory: %v", left)
	}
	if after, _ := os.ReadFile("/proc/self/mountinfo"); string(after) != string(mounts) {
		t.Errorf("mounts changed:\n%s\n%s", mounts, after)
	}
}
