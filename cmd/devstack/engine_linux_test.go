package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"devstack/engine/state"
)

// insideEnv names the one script that a re-executed test binary runs.
const insideEnv = "DEVSTACK_TEST_SCRIPT"

// initEnv makes a re-executed test binary process 1, see beInit.
const initEnv = "DEVSTACK_TEST_INIT"

// workEnv is where it works. The folder is not its own, for while anything of a
// script still runs neither files nor cgroups can go.
const workEnv = "DEVSTACK_TEST_WORK"

// TestEngine runs testdata/script/engine against the real engine, each script
// in pid, mount and network namespaces of its own: whatever a script leaves
// behind is seen by leakcheck and dies with them.
func TestEngine(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	if script := os.Getenv(insideEnv); script != "" {
		runInside(t, script)
		return
	}
	scripts, err := filepath.Glob("testdata/script/engine/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) {
			t.Parallel()
			runApart(t, script)
		})
	}
}

// runApart re-executes the test binary in new namespaces.
func runApart(t *testing.T, script string) {
	work, err := os.MkdirTemp("", "ds") // short: sockets have short names
	if err != nil {
		t.Fatal(err)
	}
	defer tidy(t, work)
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestEngine$", "-test.v")
	cmd.Env = append(os.Environ(), insideEnv+"="+script, initEnv+"=1", workEnv+"="+work)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWIPC,
		Pdeathsig:  unix.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
		return
	}
	if testing.Verbose() {
		t.Logf("%s", out)
	}
}

// tidy removes what a script that failed, or looked for no leak, has left
// outside of its namespaces: the files and the cgroups of all its engines.
func tidy(t *testing.T, work string) {
	logs, _ := filepath.Glob(filepath.Join(work, "*", "*", "engine.log"))
	for _, log := range logs {
		tag := state.Roots{Run: filepath.Dir(log)}.Tag()
		removeCgroups(tag)
		if left := cgroupsOf(tag); len(left) > 0 {
			t.Errorf("cgroups are left: %q", left)
		}
	}
	if err := os.RemoveAll(work); err != nil {
		t.Error(err)
	}
}

// beInit makes this process 1 of the namespaces, if runApart says so: it runs
// the test as its child and reaps whatever loses its parent, as a machine's
// init does.
func beInit() {
	if os.Getenv(initEnv) == "" {
		return
	}
	os.Unsetenv(initEnv)
	test := exec.Command("/proc/self/exe", os.Args[1:]...)
	test.Stdout, test.Stderr = os.Stdout, os.Stderr
	if err := test.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if err == nil && pid == test.Process.Pid {
			os.Exit(exitStatus(status))
		}
	}
}

func exitStatus(ws unix.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

// runInside runs the script in the namespaces.
func runInside(t *testing.T, script string) {
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	must("make mounts private", unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must("mount proc", unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""))
	must("mount sysfs", remountSys())
	lo, err := netlink.LinkByName("lo")
	must("find lo", err)
	must("set lo up", netlink.LinkSetUp(lo))

	cmds := commands()
	cmds["leakcheck"] = cmdLeakCheck
	cmds["boximage"] = boxImage(t)
	cmds["registry"] = serveRegistry(t)
	cmds["terminal"] = cmdTerminal
	cmds["underload"] = cmdUnderLoad
	cmds["mirrored"] = cmdMirrored
	testscript.Run(t, testscript.Params{
		Files: []string{script},
		Setup: func(env *testscript.Env) error {
			if err := setup(env); err != nil {
				return err
			}
			env.Vars = append(env.Vars, "PATH="+env.Getenv("BIN")+":"+os.Getenv("PATH"))
			roots := state.RootsFrom(env.Getenv, os.Getuid())
			env.Defer(func() {
				log, err := os.ReadFile(roots.Log())
				if err == nil && len(log) > 0 {
					env.T().Log("engine.log:\n" + string(log))
				}
				if bytes.Contains(log, []byte("DATA RACE")) {
					t.Error("the engine has a data race, see engine.log")
				}
			})
			env.Values[beforeKey{}] = observe(roots)
			return nil
		},
		Cmds:                cmds,
		WorkdirRoot:         os.Getenv(workEnv),
		Deadline:            time.Now().Add(10 * patience),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// remountSys gives the new network namespace its own /sys/class/net, and keeps
// the cgroup trees, which sit below.
func remountSys() error {
	// A name of its own: who removes it ends mounts on it in other namespaces, too.
	keep, err := os.MkdirTemp("", "devstack-test-cgroup-")
	if err != nil {
		return err
	}
	defer os.Remove(keep)
	if err := unix.Mount("/sys/fs/cgroup", keep, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return err
	}
	if err := unix.Mount(keep, "/sys/fs/cgroup", "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return unix.Unmount(keep, unix.MNT_DETACH)
}

// observation is what an engine may leave behind.
type observation map[string][]string

type beforeKey struct{}

// observe lists everything of which a leak could be one.
func observe(roots state.Roots) observation {
	return observation{
		"process":   processes(),
		"mount":     mounts(),
		"interface": interfaces(),
		"nft table": tables(),
		"cgroup":    cgroupsOf(roots.Tag()),
		"run file":  runFiles(roots.Run),
		"container": filesIn(filepath.Join(roots.Data, "containers")),
	}
}

// cmdLeakCheck: `leakcheck` waits until the engine, which has nothing left to
// do, is gone, and fails if anything else than volumes and images is still
// there.
func cmdLeakCheck(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: leakcheck")
	}
	roots := state.RootsFrom(ts.Getenv, os.Getuid())
	before := ts.Value(beforeKey{}).(observation)
	if err := ts.Exec("devstack", "engine", "stop"); err != nil {
		ts.Fatalf("engine stop: %v", err)
	}
	ts.Check(eventually(func() error { return before.leaks(observe(roots)) }))
}

func (before observation) leaks(after observation) error {
	var errs []error
	for kind, list := range after {
		for _, x := range list {
			if !slices.Contains(before[kind], x) {
				errs = append(errs, fmt.Errorf("leak: %s %s", kind, x))
			}
		}
	}
	return errors.Join(errs...)
}

// processes are all of the pid namespace but the test itself.
func processes() (list []string) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == 1 || pid == os.Getpid() {
			continue
		}
		cmdline, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		list = append(list, e.Name()+" "+string(bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '})))
	}
	return list
}

func mounts() (list []string) {
	data, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 4 {
			list = append(list, f[4])
		}
	}
	return list
}

func interfaces() (list []string) {
	links, err := netlink.LinkList()
	if err != nil {
		return []string{err.Error()}
	}
	for _, l := range links {
		list = append(list, l.Attrs().Name)
	}
	return list
}

func tables() (list []string) {
	c, err := nftables.New()
	if err != nil {
		return []string{err.Error()}
	}
	ts, err := c.ListTables()
	if err != nil {
		return []string{err.Error()}
	}
	for _, t := range ts {
		list = append(list, fmt.Sprintf("%d/%s", t.Family, t.Name))
	}
	return list
}

// cgroupsOf finds the groups of an engine by their names.
func cgroupsOf(tag string) (list []string) {
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(path, "devstack-"+tag) {
			list = append(list, path)
		}
		return nil
	})
	return list
}

func removeCgroups(tag string) {
	groups := cgroupsOf(tag)
	slices.Reverse(groups) // children first
	for _, g := range groups {
		_ = os.Remove(g)
	}
}

// filesIn is all below a folder but for an empty .trash.
func filesIn(root string) (list []string) {
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && path != root && d.Name() != ".trash" {
			list = append(list, path)
		}
		return nil
	})
	return list
}

// runFiles are what is in the run root, but for the engine's log and lock.
func runFiles(root string) (list []string) {
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !slices.Contains([]string{"engine.log", "engine.lock"}, d.Name()) {
			list = append(list, path)
		}
		return nil
	})
	return list
}
