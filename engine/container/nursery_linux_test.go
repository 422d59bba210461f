package container

import (
	"os"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"devstack/engine/container/child"
	"devstack/engine/container/leaktest"

	"golang.org/x/sys/unix"
)

// Whoever kills the process that is forked costs nobody a container: orders
// that it has not answered go to another one.
func TestNurseryIsKilled(t *testing.T) {
	leaktest.Check(t)
	b := newBox(t)
	before := b.start(b.config("sleep", "100"))
	first := b.rt.nursery.now
	first.process.signal(unix.SIGSTOP) // so that it cannot answer
	var births sync.WaitGroup
	for range 4 {
		births.Go(func() {
			k, err := b.rt.Create(b.ctx(), b.config("true"))
			if err != nil {
				t.Error(err)
				return
			}
			if err := k.Start(b.ctx()); err != nil {
				t.Error(err)
			}
			if exit, err := k.Wait(b.ctx()); err != nil || exit.Code != 0 {
				t.Errorf("exit %+v, %v", exit, err)
			}
			if err := k.Delete(b.ctx()); err != nil {
				t.Error(err)
			}
		})
	}
	first.process.signal(unix.SIGKILL)
	births.Wait()
	<-first.done
	if b.rt.nursery.now == first {
		t.Error("nobody took its place")
	}
	if err := before.Signal(unix.Signal(0)); err != nil {
		t.Errorf("a container went with it: %v", err)
	}
	if err := before.Delete(b.ctx()); err != nil {
		t.Error(err)
	}
}

// Nor does who stops it: after a while another one is asked.
func TestNurseryIsStopped(t *testing.T) {
	leaktest.Check(t)
	b := newBox(t)
	b.rt.nursery.patience = 100 * time.Millisecond
	first := b.rt.nursery.now
	first.process.signal(unix.SIGSTOP)
	k := b.start(b.config("true"))
	if exit, err := k.Wait(b.ctx()); err != nil || exit.Code != 0 {
		t.Errorf("exit %+v, %v", exit, err)
	}
	if err := k.Delete(b.ctx()); err != nil {
		t.Error(err)
	}
	<-first.done
}

// A child that the nursery has made and not told of ends, and is reaped.
func TestChildThatNobodyToldOf(t *testing.T) {
	leaktest.Check(t)
	b := newBox(t)
	w, theirs, err := newWire()
	if err != nil {
		t.Fatal(err)
	}
	n := b.rt.nursery.now
	pid, err := b.rt.nursery.order(birth{program: &child.Program{}}, theirs)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Setpgid(pid, n.group); err != nil { // as it was before we knew
		t.Fatal(err)
	}
	n.process.signal(unix.SIGKILL)
	w.close()
	<-n.done
	if err := unix.Kill(pid, 0); err != unix.ESRCH {
		t.Errorf("process %d is still there: %v", pid, err)
	}
	if err := b.rt.nursery.ready(); err != nil {
		t.Error(err)
	}
}

// No collector runs in the nursery: it must not need one.
func TestNurseryDoesNotGrow(t *testing.T) {
	b := newBox(t)
	n := b.rt.nursery.now
	order := func() {
		w, theirs, err := newWire()
		if err != nil {
			t.Fatal(err)
		}
		pid, err := b.rt.nursery.order(birth{program: &child.Program{}}, theirs)
		if err != nil {
			t.Fatal(err)
		}
		w.close()
		reap(unix.P_PID, pid)
	}
	order()
	before := anonymous(t, n.process.pid)
	const orders = 1000
	for range orders {
		order()
	}
	if grown := anonymous(t, n.process.pid) - before; grown > 8 {
		t.Errorf("%d orders made it grow by %d kB", orders, grown)
	}
	if now := b.rt.nursery.now; now != n {
		t.Error("it has been replaced")
	}
}

// anonymous is a process's memory that is no file's, in kB.
func anonymous(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`RssAnon:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no RssAnon in %s", status)
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}
