package cgroup

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func probe(t testing.TB) *Layout {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	l, err := Probe()
	if err != nil || l.Mode() == "none" {
		t.Skip("no cgroups: ", err)
	}
	return l
}

// spawn starts a process in the group, as package container does: it is born in
// the v2 group, and enters those of v1 by itself.
func spawn(t testing.TB, g *Group, args ...string) int {
	t.Helper()
	tasks, err := g.Tasks()
	if err != nil {
		t.Fatal(err)
	}
	in, arrived, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	script := []string{"sh", "-c", `while [ "$1" != in ]; do echo 0 >"$1" || exit 1; shift; done; shift; exec 3>&- "$@"`, "sh"}
	for _, f := range tasks {
		script = append(script, f.Name())
		f.Close()
	}
	attr := &syscall.SysProcAttr{}
	if g.FD() >= 0 {
		attr.UseCgroupFD, attr.CgroupFD = true, g.FD()
	}
	pid, err := syscall.ForkExec("/bin/sh", append(append(script, "in"), args...),
		&syscall.ProcAttr{Sys: attr, Files: []uintptr{0, 1, 2, arrived.Fd()}, Env: os.Environ()})
	arrived.Close()
	if err != nil {
		t.Fatal(err)
	}
	in.Read(make([]byte, 1)) // until the shell has let go of it
	return pid
}

// onlyV1 is this host as if it had no unified tree.
func onlyV1(l *Layout) *Layout { return &Layout{v1: l.v1} }

// onlyUnified is this host as if it had no v1 controllers.
func onlyUnified(l *Layout) *Layout { return &Layout{unified: l.unified} }

func layouts(t *testing.T) map[string]*Layout {
	l := probe(t)
	all := map[string]*Layout{"host": l}
	if len(l.v1) > 0 {
		all["v1"] = onlyV1(l)
	}
	if l.unified != nil {
		all["unified"] = onlyUnified(l)
	}
	return all
}

func TestLife(t *testing.T) {
	for name, l := range layouts(t) {
		t.Run(name, func(t *testing.T) {
			root := "/cgrouptest-" + strconv.Itoa(os.Getpid()) + name
			g, err := l.Make(root+"/p/c", &specs.LinuxResources{})
			if err != nil {
				t.Fatal(err)
			}
			pid := spawn(t, g, "/bin/busybox", "sh", "-c", "sleep 100 & sleep 100")
			if pids, err := g.Procs(); err != nil || len(pids) == 0 || pids[0] != pid {
				t.Errorf("procs: %v, %v, want %d", pids, err, pid)
			}
			own, _ := os.ReadFile("/proc/self/cgroup")
			if strings.Contains(string(own), root) {
				t.Error("the engine's process went along")
			}
			if err := g.Freeze(context.Background()); err != nil {
				t.Error(err)
			}
			if frozen, err := g.Frozen(); !frozen || err != nil {
				t.Errorf("frozen: %v, %v", frozen, err)
			}
			if err := g.Thaw(); err != nil {
				t.Error(err)
			}
			found, err := l.Find(root + "/p/c")
			if err != nil {
				t.Fatal(err)
			}
			if err := found.Kill(); err != nil {
				t.Error(err)
			}
			reap(pid)
			if err := found.Remove(context.Background()); err != nil {
				t.Error(err)
			}
			found.Close()
			if err := g.Remove(context.Background()); err != nil {
				t.Errorf("again: %v", err)
			}
			g.Close()
			for _, h := range l.all() {
				if _, err := os.Stat(h.dir + root); err == nil {
					t.Errorf("%s is left", h.dir+root)
				}
			}
		})
	}
}

// Remove waits for the last process: an event, not a poll.
func TestRemoveWaits(t *testing.T) {
	l := probe(t)
	g, err := l.Make("/cgrouptest-wait-"+strconv.Itoa(os.Getpid())+"/p/c", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	pid := spawn(t, g, "/bin/busybox", "sleep", "0.05")
	go reap(pid)
	if err := g.Remove(context.Background()); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	h, err := l.Make(g.Path(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	pid = spawn(t, h, "/bin/busybox", "sleep", "100")
	if err := h.Remove(ctx); err == nil {
		t.Error("removed a group with a process in it")
	}
	h.Kill()
	reap(pid)
	if err := h.Remove(context.Background()); err != nil {
		t.Error(err)
	}
}

func reap(pid int) {
	var status syscall.WaitStatus
	syscall.Wait4(pid, &status, 0, nil)
}

// The eBPF program of v2 is tried on the unified tree of whatever host this is.
func TestDeviceFilter(t *testing.T) {
	l := probe(t)
	if l.unified == nil {
		t.Skip("no unified tree")
	}
	rules := []specs.LinuxDeviceCgroup{
		{Allow: false, Type: "a"},
		{Allow: true, Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(3)), Access: "rw"}, // null
		{Allow: true, Type: "c", Major: ptr(int64(1)), Access: "r"},
		{Allow: false, Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(7)), Access: "rwm"}, // not full
	}
	g, err := onlyUnified(l).Make("/cgrouptest-bpf-"+strconv.Itoa(os.Getpid())+"/p/c", &specs.LinuxResources{Devices: rules})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for script, want := range map[string]int{
		": < /dev/null; : > /dev/null":            0,
		": < /dev/zero":                           0,
		"(: > /dev/zero) 2>/dev/null || exit 7":   7,
		"(: < /dev/full) 2>/dev/null || exit 7":   7,
		"(: < /dev/tty0) 2>/dev/null || exit 7":   7,
		"mknod /dev/cgrouptest c 1 3 2>/dev/null": 1,
	} {
		pid := spawn(t, g, "/bin/busybox", "sh", "-c", script)
		var status syscall.WaitStatus
		syscall.Wait4(pid, &status, 0, nil)
		if status.ExitStatus() != want {
			t.Errorf("%s: exit %d, want %d", script, status.ExitStatus(), want)
			os.Remove("/dev/cgrouptest")
		}
	}
	if err := g.Remove(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestRemovalOfGroupsBelow(t *testing.T) {
	l := probe(t)
	g, err := l.Make("/cgrouptest-below-"+strconv.Itoa(os.Getpid())+"/p/c", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for _, dir := range g.Dirs() {
		if err := os.MkdirAll(dir+"/a/b", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Remove(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestHeavyImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, heavy := range []string{"dbus", "cilium", "logrus"} {
		if strings.Contains(string(out), heavy) {
			t.Errorf("imports %s", heavy)
		}
	}
}

// Making and removing a container's groups is to take about a millisecond.
func BenchmarkMakeRemove(b *testing.B) {
	l := probe(b)
	limit := int64(64 << 20)
	for b.Loop() {
		g, err := l.Make("/cgrouptest-bench/p/c", &specs.LinuxResources{
			Memory: &specs.LinuxMemory{Limit: &limit}, Pids: &specs.LinuxPids{Limit: ptr(int64(100))},
			Devices: []specs.LinuxDeviceCgroup{{Type: "a"}, {Allow: true, Type: "c", Access: "m"}},
		})
		if err != nil {
			b.Fatal(err)
		}
		if err := g.Remove(context.Background()); err != nil {
			b.Fatal(err)
		}
		g.Close()
	}
}

// TestParents holds that a parent of the user's stays and one made for a
// container goes with it.
func TestParents(t *testing.T) {
	l := probe(t)
	dir := l.tracker().dir
	mine, root := "/parent-"+strconv.Itoa(os.Getpid()), "/root-"+strconv.Itoa(os.Getpid())
	if err := os.Mkdir(dir+mine, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir + mine) })
	g, err := l.Make(mine+"/made"+root+"/project/container", &specs.LinuxResources{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + mine + "/made" + root + "/project/container"); err != nil {
		t.Error(err)
	}
	if err := l.Sweep(context.Background(), root, func(string) bool { return false }); err != nil {
		t.Error(err)
	}
	g.Close()
	if _, err := os.Stat(dir + mine + "/made"); !os.IsNotExist(err) {
		t.Errorf("the parent that was made stays: %v", err)
	}
	if _, err := os.Stat(dir + mine); err != nil {
		t.Errorf("the user's own parent is gone: %v", err)
	}
}
