package guard

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDoorIsEarly builds the program and looks at what is initialised before
// the guard takes over.
func TestDoorIsEarly(t *testing.T) {
	exe := filepath.Join(t.TempDir(), "devstack")
	build := exec.Command("go", "build", "-o", exe, "devstack/cmd/devstack")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.Command(exe, "guard", "/nonexistent")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("guard: start: ")) {
		t.Fatalf("guard without a socket: %v\n%s", err, out)
	}
	var total float64
	for line := range strings.Lines(string(out)) {
		var name string
		var at, clock float64
		var size int
		if n, _ := fmt.Sscanf(line, "init %s @%f ms, %f ms clock, %d bytes", &name, &at, &clock, &size); n != 4 {
			continue
		}
		total += clock
		// A few that need less than os are ready before it; they must be small.
		heavy := name == "net" || name == "fmt" || name == "encoding/json" || strings.Contains(name, ".") && size > 1<<10
		if heavy {
			t.Errorf("%s is initialised before the guard's door", name)
		}
	}
	t.Logf("%.2f ms of initialisation", total)
}

func TestParseStartTime(t *testing.T) {
	for stat, want := range map[string]uint64{
		"7 (sh) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456789 9 10\n":     123456789,
		"7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 42 9 10\n":          42,
		"7 (1 2 3 4 5) Z 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 18446744073 9": 18446744073,
		"": 0, "7 (sh": 0, "nonsense": 0,
	} {
		if got := parseStartTime([]byte(stat)); got != want {
			t.Errorf("parseStartTime(%q) = %d, want %d", stat, got, want)
		}
	}
	if startTime(os.Getpid()) == 0 || startTime(1<<22+1) != 0 {
		t.Error("startTime of this process and of none")
	}
}

func TestRespawn(t *testing.T) {
	var r respawn
	var got []time.Duration
	for range 8 {
		got = append(got, r.died(time.Millisecond))
	}
	want := []time.Duration{0, 10e6, 20e6, 40e6, 80e6, 160e6, 320e6, 640e6}
	if fmt.Sprint(got) != fmt.Sprint(want) || !r.hopeless() {
		t.Errorf("pauses %v, want %v", got, want)
	}
	for range 100 {
		if p := r.died(0); p > maxPause || p <= 0 {
			t.Fatalf("pause %v", p)
		}
	}
	if p := r.died(2 * shortLife); p != 0 || r.hopeless() {
		t.Errorf("after a long life: pause %v", p)
	}
}

func TestFileMapping(t *testing.T) {
	for line, want := range map[string]bool{
		"00400000-00c9b000 r-xp 00000000 08:01 1234   /usr/bin/devstack": true,
		"00c9b000-01573000 r--p 0089b000 08:01 1234   /usr/bin/devstack": true,
		"01573000-015e1000 rw-p 01173000 08:01 1234   /usr/bin/devstack": false,
		"7ffd1000-7ffd2000 r-xp 00000000 00:00 0      [vdso]":            false,
		"00400000-00c9b000 r--s 00000000 08:01 1234   /usr/bin/devstack": false,
		"": false, "zz": false, "1-2": false, "1-2 r": false,
	} {
		if _, _, ok := fileMapping([]byte(line)); ok != want {
			t.Errorf("fileMapping(%q) = %v", line, ok)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, n := range []int{0, 7, 10, 1234567890, -5} {
		if itoa(n) != fmt.Sprint(n) {
			t.Errorf("itoa(%d) = %s", n, itoa(n))
		}
	}
	for s, want := range map[string]int{"3": 3, "0": 0, "12": 12, "": -1, "x": -1, "-1": -1, "99999999999999999999": -1} {
		if got := atoi(s); got != want {
			t.Errorf("atoi(%q) = %d", s, got)
		}
	}
	if e := (Exit{Status: syscall.WaitStatus(9)}); e.Code() != 137 {
		t.Errorf("killed: code %d", e.Code())
	}
}

// rig is a guard without a process and an engine's end of its link.
func rig(t *testing.T) (g *guard, engine int) {
	t.Helper()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	g = &guard{link: pair[0], pinned: -1, unsent: progress{welcome: true, ready: true}}
	t.Cleanup(func() {
		g.closeLink()
		syscall.Close(pair[1])
		for _, k := range g.kept {
			syscall.Close(k.fd)
		}
	})
	return g, pair[1]
}

func TestBounds(t *testing.T) {
	g, engine := rig(t)
	for i := range 2 * MaxExits {
		g.holdExit(process{i, uint64(i)}, 0)
	}
	if len(g.exits) != MaxExits || g.exits[0].pid != MaxExits {
		t.Errorf("%d exits, the first of pid %d", len(g.exits), g.exits[0].pid)
	}
	if !g.pending() {
		t.Error("an engine that does not listen has heard everything")
	}
	// As the engine listens, the rest comes, in order and complete.
	buf, heard := make([]byte, maxPacket), 0
	for {
		n, _, _, _, err := syscall.Recvmsg(engine, buf, nil, syscall.MSG_DONTWAIT)
		if err == syscall.EAGAIN && g.pending() {
			g.send()
			continue
		}
		if err != nil || n == 0 {
			break
		}
		heard++
	}
	if heard < MaxExits {
		t.Errorf("the engine heard of %d exits", heard)
	}
	files := count(t)
	for i := range 50 { // one name: one descriptor
		syscall.Sendmsg(engine, named(opKeep, "port"), syscall.UnixRights(engine), nil, 0)
		if i%10 == 0 {
			g.receive()
		}
	}
	syscall.Sendmsg(engine, named(opKeep, strings.Repeat("n", MaxName+1)), syscall.UnixRights(engine), nil, 0)
	syscall.Sendmsg(engine, named(opKeep, ""), syscall.UnixRights(engine), nil, 0)
	syscall.Sendmsg(engine, named(opKeep, "nothing"), nil, nil, 0)
	syscall.Sendmsg(engine, named(opBye, "x"), syscall.UnixRights(engine, engine, engine), nil, 0)
	g.receive()
	if len(g.kept) != 1 || count(t) != files+1 || !g.bye {
		t.Errorf("kept %v, %d more files", g.kept, count(t)-files)
	}
	g.drop("port")
	if len(g.kept) != 0 || count(t) != files {
		t.Errorf("kept %v after drop, %d more files", g.kept, count(t)-files)
	}
}

func count(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// FuzzObey: no message makes a guard panic or take more than its bounds.
func FuzzObey(f *testing.F) {
	f.Add([]byte("Kname"))
	f.Add([]byte("Dapi"))
	f.Add([]byte("F\x01\x02"))
	f.Add([]byte("U/nonexistent"))
	f.Add([]byte("B"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		if len(msg) == 0 || msg[0] == opUse {
			return // an empty packet is the end; UseBinary speaks to the log
		}
		g := &guard{link: -1, pinned: -1, kept: []kept{{API, 0}}, exits: []heldExit{{process: process{1, 2}}}}
		if g.obey(msg, -1) {
			t.Errorf("%q took a descriptor that is not there", msg)
		}
		if len(g.kept) != 1 {
			t.Errorf("%q lost the API's socket", msg)
		}
	})
}

// TestTrim runs in this very process, which goes on to work, whatever way it was
// linked.
func TestTrim(t *testing.T) {
	for range 3 {
		Trim()
		if s := fmt.Sprintf("%v %v", time.Unix(0, 0).UTC(), map[string]int{"a": 1}); !strings.Contains(s, "1970") {
			t.Error(s)
		}
	}
}

// An engine that dies without having read all it was sent has said its last
// words all the same.
func TestLastWordsOfAnEngineThatDidNotListen(t *testing.T) {
	g, engine := rig(t)
	g.holdExit(process{1, 2}, 0)
	syscall.Sendmsg(engine, packet(opBye), nil, nil, 0)
	syscall.Shutdown(engine, syscall.SHUT_RDWR)
	syscall.Close(engine)
	g.receive()
	if !g.bye || g.link >= 0 {
		t.Errorf("bye %v, link %d", g.bye, g.link)
	}
}

// What an engine dropped is closed when the guard answers its sync; what it has
// given is not sent back.
func TestSync(t *testing.T) {
	g, end := rig(t)
	engine, err := syscall.Dup(end)
	if err != nil {
		t.Fatal(err)
	}
	l := &Link{
		file: os.NewFile(uintptr(engine), "guard"), restored: map[string]*os.File{}, done: make(chan struct{}),
		waiters: map[process]chan Exit{}, synced: map[uint32]chan struct{}{},
	}
	defer l.file.Close()
	if l.raw, err = l.file.SyscallConn(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(l.done)
		l.hear(false)
	}()
	// What stays with the guard does not come back.
	if err := l.Keep("stays", l.file); err != nil {
		t.Fatal(err)
	}
	g.receive()
	files := count(t)
	for range 3 {
		if err := l.Keep("port", l.file); err != nil {
			t.Fatal(err)
		}
		g.receive()
		if err := l.Drop("port"); err != nil {
			t.Fatal(err)
		}
		answered := make(chan struct{})
		begin := time.Now()
		go func() {
			defer close(answered)
			l.Sync()
		}()
		ready := [1]pollFD{{fd: int32(g.link), events: pollIn}}
		for waiting := true; waiting; {
			if _, err := poll(ready[:], 1); err != nil && err != syscall.EINTR {
				t.Fatal(err)
			}
			g.receive()
			select {
			case <-answered:
				waiting = false
			default:
			}
		}
		if took := time.Since(begin); took >= syncLimit {
			t.Errorf("no answer in %v", took)
		}
		if n := count(t); n != files {
			t.Errorf("%d more files", n-files)
		}
	}
	syscall.Close(g.link)
	g.link = -1
	begin := time.Now()
	l.Sync()
	if took := time.Since(begin); took >= syncLimit {
		t.Errorf("waited %v for a guard that is gone", took)
	}
}
