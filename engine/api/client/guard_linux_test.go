package client

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"devstack/engine/api"

	"golang.org/x/sys/unix"
)

func waitReadable(t *testing.T, fd int) {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 10_000)
		if err == unix.EINTR {
			continue
		}
		if n != 1 {
			t.Fatalf("process does not end: %v", err)
		}
		return
	}
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	gonePID(t, pid)
}

func TestNotRunning(t *testing.T) {
	w := newWorld(t)
	o := w.options
	o.Start = false
	if _, err := Dial(t.Context(), o); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Dial = %v", err)
	}
	if _, err := os.Stat(o.Roots.Run); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a look left something behind: %v", err)
	}
}

func TestKilledEngineIsBack(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.options)
	first := w.note(c)
	if first.Generation != 1 || first.GuardPID == 0 {
		t.Errorf("status %+v", first)
	}
	address := ask[string](w, c, "keep", keepRequest{"web", "127.0.0.1:0"})
	ask[string](w, c, "keep", keepRequest{"db", "127.0.0.1:0"})
	ask[struct{}](w, c, "drop", keepRequest{Name: "db"})
	fifo, in := exitFIFO(t)
	before := ask[child](w, c, "spawn", spawnRequest{fifo})

	begin := time.Now()
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if pid := whoAnswers(t, address); pid == first.PID {
		t.Errorf("the killed engine answers at %s", address)
	}
	t.Logf("published port answered %v after the kill", time.Since(begin))
	c2 := w.dial(w.options)
	second := w.note(c2)
	if second.GuardPID != first.GuardPID || second.PID == first.PID || second.Generation != 2 {
		t.Errorf("status %+v after %+v", second, first)
	}
	if names := ask[[]string](w, c2, "restored", nil); !slices.Contains(names, "web") || slices.Contains(names, "db") {
		t.Errorf("restored %v", names)
	}
	// It ends while the second engine is there: pushed by the guard.
	result := make(chan int)
	go func() { result <- ask[int](w, c2, "await", before) }()
	fmt.Fprintln(in, 42)
	if code := <-result; code != 42 {
		t.Errorf("orphan's exit code %d", code)
	}
	// It ends while no engine is there.
	c3 := w.dial(w.options)
	orphan := ask[child](w, c3, "spawn", spawnRequest{fifo})
	syscall.Kill(second.GuardPID, syscall.SIGSTOP) // so that nobody starts the next engine yet
	kill(t, second.PID)
	fmt.Fprintln(in, 43)
	gonePID(t, orphan.PID)
	syscall.Kill(second.GuardPID, syscall.SIGCONT)
	c4 := w.dial(w.options)
	if code := ask[int](w, c4, "await", orphan); code != 43 {
		t.Errorf("exit code %d of an orphan that ended in between", code)
	}
	if st := w.note(c4); st.Generation != 3 {
		t.Errorf("generation %d, want 3", st.Generation)
	}
}

func TestKilledGuardAndEngine(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.options)
	first := w.note(c)
	kill(t, first.GuardPID)
	if st := w.note(w.dial(w.options)); st.PID != first.PID {
		t.Errorf("an engine without guard does not serve: %+v", st)
	}
	kill(t, first.PID)
	second := w.note(w.dial(w.options))
	if second.GuardPID == first.GuardPID || second.PID == first.PID || second.Generation != 1 {
		t.Errorf("status %+v after %+v", second, first)
	}
}

func TestTwentyClientsAtOnce(t *testing.T) {
	w := newWorld(t)
	for round := range 3 {
		guards := make(chan int, 20)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				c, err := Dial(t.Context(), w.options)
				if err != nil {
					t.Errorf("dial: %v", err)
					return
				}
				defer c.Close()
				guards <- w.note(c).GuardPID
			})
		}
		all.Wait()
		close(guards)
		seen := map[int]bool{}
		for pid := range guards {
			seen[pid] = true
		}
		if len(seen) != 1 {
			t.Fatalf("round %d: %d guards for 20 clients", round, len(seen))
		}
		for pid := range seen {
			if round == 0 {
				kill(t, pid) // leaves its engine
			}
		}
		c := w.dial(w.options)
		if round == 0 {
			kill(t, w.note(c).PID)
		} else {
			c.Shutdown(t.Context(), api.ShutdownRequest{})
		}
	}
}

func TestShutdownLeavesNothing(t *testing.T) {
	for _, how := range []string{"goodbye", "status 0"} {
		w := newWorld(t)
		c := w.dial(w.options)
		st := w.note(c)
		if how == "goodbye" {
			if err := c.Shutdown(t.Context(), api.ShutdownRequest{}); err != nil {
				t.Fatal(err)
			}
		} else {
			ask[struct{}](w, c, "exit", exitRequest{0})
		}
		gonePID(t, st.PID)
		gonePID(t, st.GuardPID)
		left, _ := os.ReadDir(w.options.Roots.Run)
		for _, e := range left {
			if e.Name() != "engine.lock" && e.Name() != "engine.log" {
				t.Errorf("%s: %s is left", how, e.Name())
			}
		}
		o := w.options
		o.Start = false
		if _, err := Dial(t.Context(), o); !errors.Is(err, ErrNotRunning) {
			t.Errorf("%s: Dial = %v", how, err)
		}
	}
}

// A client that comes while the engine says goodbye is served by the next one.
func TestClientsDuringShutdown(t *testing.T) {
	w := newWorld(t)
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := Dial(t.Context(), w.options)
				if err != nil {
					t.Errorf("dial: %v", err)
					return
				}
				if st, err := c.Status(t.Context()); err == nil { // it may be told to go in between
					w.remember(st)
				}
				c.Close()
			}
		})
	}
	for range 15 {
		c, err := Dial(t.Context(), w.options)
		if err != nil {
			t.Fatal(err)
		}
		c.Shutdown(t.Context(), api.ShutdownRequest{})
		c.Close()
	}
	close(stop)
	clients.Wait()
	w.note(w.dial(w.options))
}

func TestNewerBuildRestartsInPlace(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.options)
	first := w.note(c)
	address := ask[string](w, c, "keep", keepRequest{"web", "127.0.0.1:0"})
	o := w.options
	o.Exe = filepath.Join(t.TempDir(), "devstack")
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.Exe, data, 0o755); err != nil {
		t.Fatal(err)
	}
	second := w.note(w.dial(o))
	if second.GuardPID != first.GuardPID || second.PID == first.PID {
		t.Errorf("status %+v after %+v", second, first)
	}
	if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", second.PID)); exe != o.Exe {
		t.Errorf("engine runs %s, want %s", exe, o.Exe)
	}
	if pid := whoAnswers(t, address); pid != second.PID {
		t.Errorf("process %d answers at %s", pid, address)
	}
	// The older client is served by the newer engine, and a killed one comes
	// back as it was even if its file has gone.
	if st := w.note(w.dial(w.options)); st.PID != second.PID {
		t.Error("an older client restarted a newer engine")
	}
	if err := os.Remove(o.Exe); err != nil {
		t.Fatal(err)
	}
	syscall.Kill(second.PID, syscall.SIGKILL)
	third := w.note(w.dial(w.options))
	if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", third.PID)); exe != o.Exe+" (deleted)" {
		t.Errorf("engine runs %s", exe)
	}
}

func TestEngineThatCannotStart(t *testing.T) {
	w := newWorld(t)
	o := w.options
	o.Environ = append(os.Environ(), "TEST_ENGINE_CRASH=the disk is on fire")
	if err := os.Mkdir(o.Roots.Run, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.Roots.Log(), []byte("trouble of yesterday\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	_, err := Dial(t.Context(), o)
	var e *api.Error
	if !errors.As(err, &e) || !strings.Contains(strings.Join(e.Detail, "\n"), "the disk is on fire") {
		t.Fatalf("Dial = %v", err)
	}
	t.Logf("after %v: %v %q", time.Since(begin), err, e.Detail)
	if strings.Contains(strings.Join(e.Detail, "\n"), "yesterday") {
		t.Error("quotes lines of another start")
	}
	// Nothing is kept, so the guard has given up: the next client starts anew.
	syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
	w.note(w.dial(w.options))
}

func TestRunRootOfSomebodyElse(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give a folder away")
	}
	w := newWorld(t)
	if err := os.Mkdir(w.options.Roots.Run, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(w.options.Roots.Run, 12345, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(t.Context(), w.options); err == nil || !strings.Contains(err.Error(), "DEVSTACK_RUN_ROOT") {
		t.Errorf("Dial = %v", err)
	}
	w.options.Roots.Run = "/dev/null/run"
	if _, err := Dial(t.Context(), w.options); err == nil || !strings.Contains(err.Error(), "run root") {
		t.Errorf("Dial = %v", err)
	}
}

func TestLongRunRootAndStaleSocket(t *testing.T) {
	w := newWorld(t)
	w.options.Roots.Run += "/" + strings.Repeat("long-", 30) + "/run"
	if err := os.MkdirAll(w.options.Roots.Run, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.options.Roots.Socket(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.note(w.dial(w.options))
	for path, want := range map[string]os.FileMode{w.options.Roots.Run: 0o700, w.options.Roots.Socket(): 0o600} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v %v", path, st.Mode(), err)
		}
	}
}

func TestGuardIgnoresHangup(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.options)
	st := w.note(c)
	syscall.Kill(st.GuardPID, syscall.SIGHUP)
	syscall.Kill(st.PID, syscall.SIGKILL)
	second := w.note(w.dial(w.options))
	if second.GuardPID != st.GuardPID {
		t.Error("the guard died of SIGHUP")
	}
	if sid, err := unix.Getsid(st.GuardPID); err != nil || sid != st.GuardPID {
		t.Errorf("guard's session is %d (%v)", sid, err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", second.PID))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "SigIgn:"); ok {
			if mask, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64); err != nil || mask&1 != 0 {
				t.Errorf("the engine ignores SIGHUP: %s", line)
			}
		}
	}
}

// TestGuardIsSmall measures what a guard costs while it has nothing to do.
func TestGuardIsSmall(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.options)
	st := w.note(c)
	for i := range 100 {
		ask[string](w, c, "keep", keepRequest{fmt.Sprint("port", i), "127.0.0.1:0"})
	}
	// It gives back what it does not need once nothing has happened for a while.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var memory map[string]int
	for begin := time.Now(); ; <-tick.C {
		memory = smaps(t, st.GuardPID)
		if memory["Pss"] <= 1536 {
			break
		}
		if raceDetector {
			return
		}
		if time.Since(begin) > 5*time.Second {
			t.Errorf("guard's PSS is %d KiB", memory["Pss"])
			break
		}
	}
	t.Log(memory)
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", st.GuardPID))
	t.Logf("%d threads", len(tasks))
}

// smaps is a process's memory in KiB.
func smaps(t *testing.T, pid int) map[string]int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		t.Skip(err)
	}
	memory := map[string]int{}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		var kib int
		if n, _ := fmt.Sscanf(value, "%d kB", &kib); n == 1 && kib > 0 {
			memory[name] = kib
		}
	}
	return memory
}

func TestLogIsRotated(t *testing.T) {
	w := newWorld(t)
	st := w.note(w.dial(w.options))
	f, err := os.OpenFile(w.options.Roots.Log(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 2<<20)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // what the guard says of the first death still goes to the old file
		syscall.Kill(st.PID, syscall.SIGKILL)
		next := w.note(w.dial(w.options))
		for next.PID == st.PID {
			next = w.note(w.dial(w.options))
		}
		st = next
	}
	log, err := os.ReadFile(w.options.Roots.Log())
	if err != nil || len(log) > 1000 || !strings.Contains(string(log), "died: signal 9") {
		t.Errorf("new log %q, %v", log, err)
	}
	if old, err := os.Stat(w.options.Roots.Log() + ".1"); err != nil || old.Size() < 2<<20 {
		t.Errorf("old log: %v", err)
	}
}

func whoAnswers(t *testing.T, address string) (pid int) {
	t.Helper()
	d := net.Dialer{Timeout: 10 * time.Second}
	for { // a connection that the dying engine had accepted is lost
		conn, err := d.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		conn.Close()
		if err != nil {
			continue
		}
		if pid, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
			t.Fatal(err)
		}
		return pid
	}
}

// exitFIFO is what a child reads its exit code from.
func exitFIFO(t *testing.T) (path string, w *os.File) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "exit")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return path, w
}
