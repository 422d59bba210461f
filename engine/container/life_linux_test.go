package container

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"devstack/engine/cgroup"
	"devstack/engine/container/leaktest"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func ptr[T any](v T) *T { return &v }

func TestNothingIsLeft(t *testing.T) {
	rt := newBox(t)
	leaktest.Check(t, rt.rt.root, os.TempDir()+"/"+t.Name())
	for _, args := range [][]string{{"true"}, {"sh", "-c", "sleep 100 & sleep 100"}, {"nothing"}} {
		c := rt.config(args...)
		k, err := rt.rt.Create(rt.ctx(), c)
		if err != nil {
			continue
		}
		if err := k.Start(rt.ctx()); err != nil {
			t.Error(err)
		}
		if err := k.Delete(rt.ctx()); err != nil {
			t.Error(err)
		}
		if err := k.Delete(rt.ctx()); err != nil {
			t.Errorf("deleting again: %v", err)
		}
	}
}

func TestDeleteBeforeStart(t *testing.T) {
	b := newBox(t)
	leaktest.Check(t, b.rt.root)
	k, err := b.rt.Create(b.ctx(), b.config("true"))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Delete(b.ctx()); err != nil {
		t.Error(err)
	}
	if err := k.Start(b.ctx()); err == nil {
		t.Error("started after deletion")
	}
}

func TestCreateIsCancelled(t *testing.T) {
	b := newBox(t)
	leaktest.Check(t, b.rt.root)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.rt.Create(ctx, b.config("true")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestWaitHonoursContext(t *testing.T) {
	b := newBox(t)
	k := b.start(b.config("sleep", "100"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := k.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A container's limits are in the control files of whichever hierarchy has them.
func TestLimits(t *testing.T) {
	b := newBox(t)
	c := b.config("sleep", "100")
	c.Spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(128 << 20)), Reservation: ptr(int64(32 << 20))}
	c.Spec.Linux.Resources.CPU = &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(50000)), Period: ptr(uint64(100000)), Cpus: "0"}
	c.Spec.Linux.Resources.Pids = &specs.LinuxPids{Limit: ptr(int64(20))}
	k := b.start(c)
	stats, err := k.Stats()
	if err != nil || stats.MemoryLimit != 64<<20 || stats.PIDsLimit != 20 || stats.PIDs != 1 || stats.MemoryUsage == 0 {
		t.Errorf("got %+v, %v", stats, err)
	}
	own := string(must(os.ReadFile("/proc/" + strconv.Itoa(k.PID()) + "/cgroup")))
	for _, controller := range []string{"memory", "cpu", "cpuset", "pids", "devices"} {
		if b.rt.layout.Mode() != "v2" && !strings.Contains(own, ":"+controller+":"+c.Spec.Linux.CgroupsPath) {
			t.Errorf("%s: not in its group: %s", controller, own)
		}
	}
	if strings.Contains(own, ":freezer:"+c.Spec.Linux.CgroupsPath) && b.rt.layout.Mode() == "hybrid" {
		t.Error("a group that nobody needs was made")
	}
	if out, exit := b.exec(k, "sh", "-c", "i=0; while [ $i -lt 40 ]; do sleep 100 >/dev/null 2>&1 & i=$((i+1)); done"); exit.Code == 0 {
		t.Errorf("40 processes with a limit of 20: %s", out)
	}
}

func TestUnavailableLimitIsAnError(t *testing.T) {
	b := newBox(t)
	c := b.config("true")
	c.Spec.Linux.Resources.Unified = map[string]string{"memory.high": "1"}
	if _, err := b.rt.Create(b.ctx(), c); b.rt.layout.Mode() != "v2" && !errors.Is(err, cgroup.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestOOM(t *testing.T) {
	b := newBox(t)
	c := b.config("sh", "-c", "dd if=/dev/zero of=/dev/null bs=200M count=1")
	limit := int64(16 << 20)
	c.Spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit, Swap: &limit}
	_, exit := b.run(c)
	if !exit.OOMKilled || exit.Code != 137 {
		t.Errorf("got %+v", exit)
	}
}

func TestPause(t *testing.T) {
	b := newBox(t)
	c := b.config("sh", "-c", "while :; do echo x; sleep 0.01; done")
	r, w, _ := os.Pipe()
	defer r.Close()
	c.Stdout = w
	k := b.start(c)
	w.Close()
	lines := bufio.NewReader(r)
	lines.ReadString('\n')
	if err := k.Pause(b.ctx()); err != nil {
		t.Fatal(err)
	}
	if paused, err := k.Paused(); !paused || err != nil {
		t.Errorf("paused: %v, %v", paused, err)
	}
	if _, err := k.Exec(b.ctx(), ExecConfig{Process: &specs.Process{Args: []string{"true"}}}); !errors.Is(err, ErrPaused) {
		t.Errorf("exec: %v", err)
	}
	if err := k.Resume(b.ctx()); err != nil {
		t.Fatal(err)
	}
	lines.Discard(lines.Buffered())
	if _, err := lines.ReadString('\n'); err != nil {
		t.Error(err)
	}
	if err := k.Pause(b.ctx()); err != nil {
		t.Fatal(err)
	}
	if err := k.Kill(b.ctx()); err != nil { // kills what is frozen, too
		t.Fatal(err)
	}
}

func TestKillTakesAllWithSharedPIDs(t *testing.T) {
	b := newBox(t)
	c := b.config("sh", "-c", "sleep 100 & sleep 100 & echo; wait")
	c.Spec.Linux.Namespaces = c.Spec.Linux.Namespaces[1:] // nobody's death takes the others along
	r, w, _ := os.Pipe()
	defer r.Close()
	c.Stdout = w
	k := b.start(c)
	w.Close()
	bufio.NewReader(r).ReadString('\n')
	if pids, err := k.Processes(); len(pids) != 3 || err != nil {
		t.Errorf("%v, %v", pids, err)
	}
	if err := k.Kill(b.ctx()); err != nil {
		t.Fatal(err)
	}
	if err := k.Delete(b.ctx()); err != nil {
		t.Fatal(err)
	}
	if pids, err := k.Processes(); len(pids) != 0 || err != nil {
		t.Errorf("%v, %v", pids, err)
	}
}

func TestKillTree(t *testing.T) {
	b := newBox(t)
	k := b.start(b.config("sleep", "100"))
	r, w, _ := os.Pipe()
	defer r.Close()
	p, err := k.Exec(b.ctx(), ExecConfig{Stdout: w, Process: &specs.Process{
		Args: []string{"sh", "-c", `sleep 100 & setsid sh -c "sleep 100 & echo there; wait" & wait`}, Env: []string{"PATH=/bin"}, Cwd: "/",
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	out := bufio.NewReader(r)
	out.ReadString('\n')
	if pids, err := k.Processes(); len(pids) != 5 || err != nil {
		t.Errorf("before: %v, %v", pids, err)
	}
	if err := p.KillTree(); err != nil {
		t.Fatal(err)
	}
	if exit, err := p.Wait(b.ctx()); exit.Signal != int(unix.SIGKILL) || err != nil {
		t.Errorf("%+v, %v", exit, err)
	}
	r.SetReadDeadline(time.Now().Add(10 * time.Second))
	if rest, err := io.ReadAll(out); err != nil { // the end comes when nobody holds the pipe
		t.Errorf("%q, %v", rest, err)
	}
	// Who has let go of its files is about to leave.
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for begin := time.Now(); ; <-again.C {
		pids, err := k.Processes()
		if len(pids) == 1 {
			break
		}
		if err != nil || time.Since(begin) > 10*time.Second {
			t.Fatalf("after: %v, %v", pids, err)
		}
	}
	if err := p.KillTree(); err != nil {
		t.Errorf("of a process that has ended: %v", err)
	}
	if err := k.Kill(b.ctx()); err != nil {
		t.Fatal(err)
	}
}

func TestSweep(t *testing.T) {
	b := newBox(t)
	leaktest.Check(t, b.rt.root)
	keep, drop := b.start(b.config("sleep", "100")), b.start(b.config("sleep", "100"))
	if err := b.rt.Sweep(b.ctx(), func(id string) bool { return id == keep.ID() }); err != nil {
		t.Fatal(err)
	}
	if _, err := drop.Wait(b.ctx()); err != nil {
		t.Error(err)
	}
	if err := keep.Signal(unix.Signal(0)); err != nil {
		t.Errorf("the kept one is gone: %v", err)
	}
	for _, left := range leaktest.Find(b.rt.root) {
		if strings.Contains(left, drop.ID()) {
			t.Errorf("left behind: %s", left)
		}
	}
}

func TestAdoptOwnChild(t *testing.T) {
	b := newBox(t)
	c := b.config("sh", "-c", "trap 'exit 9' TERM; echo; while :; do sleep 0.01; done")
	r, w, _ := os.Pipe()
	defer r.Close()
	c.Stdout = w
	k := b.start(c)
	w.Close()
	bufio.NewReader(r).ReadString('\n')
	if _, err := b.rt.Adopt(b.ctx(), AdoptConfig{ID: c.ID, PID: k.PID(), StartTime: k.StartTime() + 1}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("another process was adopted: %v", err)
	}
	again, err := b.rt.Adopt(b.ctx(), AdoptConfig{ID: c.ID, PID: k.PID(), StartTime: k.StartTime(), CgroupsPath: c.Spec.Linux.CgroupsPath, Spec: c.Spec})
	if err != nil {
		t.Fatal(err)
	}
	if out, _ := b.exec(again, "grep", "Seccomp:", "/proc/self/status"); out != "Seccomp:\t2\n" {
		t.Errorf("got %q", out)
	}
}

// A stranger's exit status comes from the kernel once its parent has reaped it.
func TestAdoptStranger(t *testing.T) {
	b := newBox(t)
	parent := exec.Command("/bin/busybox", "sh", "-c", "sh -c 'read x; exit 7' <&3 & echo $!; wait $!; read y")
	in, feed, _ := os.Pipe()
	parent.ExtraFiles = []*os.File{in}
	hold, _ := parent.StdinPipe()
	out, _ := parent.StdoutPipe()
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer parent.Wait()
	defer hold.Close()
	defer in.Close()
	line, _ := bufio.NewReader(out).ReadString('\n')
	pid, _ := strconv.Atoi(strings.TrimSpace(line))
	start, err := startTime(pid)
	if err != nil {
		t.Fatal(err)
	}
	k, err := b.rt.Adopt(b.ctx(), AdoptConfig{ID: randomHex(32), PID: pid, StartTime: start})
	if err != nil {
		t.Fatal(err)
	}
	feed.WriteString("\n")
	feed.Close()
	exit, err := k.Wait(b.ctx())
	if errors.Is(err, ErrUnknownExit) {
		t.Log("this kernel does not tell")
	} else if err != nil || exit.Code != 7 {
		t.Errorf("got %+v, %v", exit, err)
	}
	if err := k.Delete(b.ctx()); err != nil {
		t.Error(err)
	}
}

func TestPIDIsGone(t *testing.T) {
	b := newBox(t)
	if _, err := b.rt.Adopt(b.ctx(), AdoptConfig{ID: randomHex(32), PID: 1 << 22, StartTime: 1}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v", err)
	}
}

// Waiting must not cost a thread.
func TestNoThreadPerContainer(t *testing.T) {
	b := newBox(t)
	threads := func() int {
		entries, _ := os.ReadDir("/proc/self/task")
		return len(entries)
	}
	b.start(b.config("sleep", "100"))
	before := threads()
	for range 10 {
		k := b.start(b.config("sleep", "100"))
		go k.Wait(context.Background())
	}
	if after := threads(); after > before+5 {
		t.Errorf("%d threads before, %d with ten more containers", before, after)
	}
}

// A container that is killed while processes enter it ends all the same: what
// is born half is reaped.
func TestKillDuringExec(t *testing.T) {
	b := newBox(t)
	for i := range 30 {
		k := b.start(b.config("sleep", "100"))
		var execs sync.WaitGroup
		for n := range 4 {
			execs.Go(func() {
				for try := 0; ; try++ {
					ctx, cancel := context.WithTimeout(b.ctx(), time.Duration(1+(i+n+try)%9)*time.Millisecond/2)
					p, err := k.Exec(ctx, ExecConfig{Process: &specs.Process{Args: []string{"true"}, Env: []string{"PATH=/bin"}, Cwd: "/"}})
					cancel()
					if err == nil {
						p.Wait(b.ctx())
					}
					if k.process.ended() {
						return
					}
				}
			})
		}
		kill, cancel := context.WithTimeout(b.ctx(), 10*time.Second)
		timer := time.NewTimer(time.Duration(1+i%10) * time.Millisecond)
		<-timer.C
		if err := k.Kill(kill); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		cancel()
		execs.Wait()
		if err := k.Delete(b.ctx()); err != nil {
			t.Fatal(err)
		}
	}
}
