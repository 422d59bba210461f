package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"devstack/engine/api"
	"devstack/engine/api/server"
	"devstack/engine/guard"
	"devstack/engine/state"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// TestMain makes the test binary a devstack of its own: the guard's door is in
// its init, and as `engine serve` it is the engine below.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "engine" {
		if err := serveEngine(); err != nil {
			fmt.Fprintln(os.Stderr, "test engine:", err)
			os.Exit(1)
		}
		os.Exit(int(exitStatus))
	}
	goleak.VerifyTestMain(m)
}

var exitStatus int

// Operations of the test engine.
type (
	spawnRequest struct{ FIFO string } // a child that reads its exit code from FIFO
	child        struct {
		PID   int
		Start uint64
	}
	exitRequest struct{ Status int }
	keepRequest struct{ Name, Address string }
)

// serveEngine is an engine with a real guard, a real server and real children.
func serveEngine() error {
	if text := os.Getenv("TEST_ENGINE_CRASH"); text != "" {
		return errors.New(text)
	}
	link, err := guard.Connect()
	if err != nil {
		return err
	}
	file := link.Restored()[guard.API]
	l, err := net.FileListener(file)
	if err != nil {
		return err
	}
	file.Close()
	build, err := api.BuildOf("/proc/self/exe")
	if err != nil {
		return err
	}
	stop := make(chan int, 1)
	s := server.New(server.Options{Version: os.Getenv("TEST_ENGINE_VERSION"), Build: build})
	server.Handle(s, api.OpStatus, func(context.Context, struct{}, func(api.Message)) (api.StatusResult, error) {
		return api.StatusResult{PID: os.Getpid(), GuardPID: link.GuardPID(), Generation: link.Generation()}, nil
	})
	server.Handle(s, api.OpShutdown, func(_ context.Context, req api.ShutdownRequest, _ func(api.Message)) (struct{}, error) {
		s.Refuse()
		if req.Restart {
			link.UseBinary(req.Exe)
			stop <- guard.StatusRestart
		} else {
			link.Goodbye()
			stop <- 9
		}
		return struct{}{}, nil
	})
	server.Handle(s, "exit", func(_ context.Context, req exitRequest, _ func(api.Message)) (struct{}, error) {
		s.Refuse()
		stop <- req.Status
		return struct{}{}, nil
	})
	server.Handle(s, "spawn", func(_ context.Context, req spawnRequest, _ func(api.Message)) (child, error) { return spawn(req.FIFO) })
	server.Handle(s, "await", func(ctx context.Context, c child, _ func(api.Message)) (int, error) {
		select {
		case e := <-link.Exited(c.PID, c.Start):
			return e.Code(), nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	})
	server.Handle(s, "keep", func(_ context.Context, req keepRequest, _ func(api.Message)) (string, error) {
		l, err := net.Listen("tcp", req.Address)
		if err != nil {
			return "", err
		}
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			return "", err
		}
		defer f.Close()
		go answer(l)
		return l.Addr().String(), link.Keep(req.Name, f)
	})
	server.Handle(s, "drop", func(_ context.Context, req keepRequest, _ func(api.Message)) (struct{}, error) {
		return struct{}{}, link.Drop(req.Name)
	})
	server.Handle(s, "restored", func(context.Context, struct{}, func(api.Message)) ([]string, error) {
		var names []string
		for name := range link.Restored() {
			names = append(names, name)
		}
		return names, nil
	})
	for name, f := range link.Restored() {
		if name == guard.API || name == guard.Lock || name == guard.Door {
			continue
		}
		l, err := net.FileListener(f)
		if err != nil {
			return err
		}
		go answer(l)
	}
	if err := link.Serving(); err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	exitStatus = <-stop
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(s.Shutdown(ctx), <-served)
}

// answer tells everybody who connects which process it is.
func answer(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		fmt.Fprintln(c, os.Getpid())
		c.Close()
	}
}

func spawn(fifo string) (child, error) {
	in, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		return child{}, err
	}
	defer in.Close()
	p, err := os.StartProcess("/bin/sh", []string{"sh", "-c", `read code; exit $code`}, &os.ProcAttr{Files: []*os.File{in, nil, os.Stderr}})
	if err != nil {
		return child{}, err
	}
	go p.Wait()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid))
	if err != nil {
		return child{}, err
	}
	c := child{PID: p.Pid}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')'):]))
	_, err = fmt.Sscan(fields[20], &c.Start)
	return c, err
}

// world is a pair of roots of its own, and everything that was started in it.
type world struct {
	t       *testing.T
	options Options
	mu      sync.Mutex
	pids    map[int]*os.File // with a pidfd: a number alone may be somebody else's by now
	guards  map[int]bool     // which of them are guards
}

func newWorld(t *testing.T) *world {
	dir := t.TempDir()
	w := &world{t: t, pids: map[int]*os.File{}, guards: map[int]bool{}, options: Options{
		Roots: state.Roots{Data: dir + "/data", Run: dir + "/run"},
		Start: true,
	}}
	t.Cleanup(w.end)
	return w
}

// end kills what was started and is still there: guards first, which would
// start their engine again.
func (w *world) end() {
	for _, guards := range []bool{true, false} {
		for pid, f := range w.pids {
			if w.guards[pid] != guards {
				continue
			}
			unix.PidfdSendSignal(int(f.Fd()), unix.SIGKILL, nil, 0)
			waitReadable(w.t, int(f.Fd()))
			f.Close()
			syscall.Wait4(pid, nil, 0, nil) // the guards are this process's children
		}
	}
}

func (w *world) dial(o Options) *Client {
	w.t.Helper()
	c, err := Dial(w.t.Context(), o)
	if err != nil {
		w.t.Fatalf("dial: %v", err)
	}
	w.t.Cleanup(func() { c.Close() })
	w.note(c)
	return c
}

func (w *world) note(c *Client) api.StatusResult {
	w.t.Helper()
	st, err := c.Status(w.t.Context())
	if err != nil {
		w.t.Fatalf("status: %v", err)
	}
	w.remember(st)
	return st
}

func (w *world) remember(st api.StatusResult) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.guards[st.GuardPID] = true
	for _, pid := range []int{st.GuardPID, st.PID} {
		if w.pids[pid] != nil {
			continue
		}
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			w.pids[pid] = os.NewFile(uintptr(fd), "pidfd")
		}
	}
}

// ask calls an operation of the test engine.
func ask[Res any](w *world, c *Client, op string, req any) (res Res) {
	w.t.Helper()
	if err := c.call(w.t.Context(), op, req, &res, nil); err != nil {
		w.t.Fatalf("%s: %v", op, err)
	}
	return res
}

// gone waits until a process has ended.
func gonePID(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	waitReadable(t, fd)
}
