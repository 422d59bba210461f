package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"devstack/engine/api"
	"devstack/engine/api/server"
	"devstack/engine/state"
)

// serve runs a server over a real socket and returns a client of it.
func serve(t *testing.T, s *server.Server) *Client {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("peers are checked on Linux only")
	}
	roots := state.Roots{Run: t.TempDir()}
	l, err := net.Listen("unix", roots.Socket())
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-served); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if n := s.Active(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
	c, err := Dial(t.Context(), Options{Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func newServer() *server.Server {
	build, _ := api.BuildOf("/proc/self/exe")
	return server.New(server.Options{Build: build})
}

func TestMessagesArriveAtOnceAndInOrder(t *testing.T) {
	s := newServer()
	next := make(chan struct{})
	server.Handle(s, api.OpUp, func(ctx context.Context, req api.UpRequest, emit func(api.Message)) (api.UpResult, error) {
		for i := range 3 {
			emit(api.Message{Notice: &api.Notice{Text: fmt.Sprint(i)}})
			<-next // nothing more is written before the client has seen it
		}
		for i := 3; i < 5000; i++ {
			emit(api.Message{Notice: &api.Notice{Text: fmt.Sprint(i)}})
		}
		return api.UpResult{Plan: req.Services[0] + " <&>"}, nil
	})
	c := serve(t, s)
	seen := 0
	res, err := c.Up(t.Context(), api.UpRequest{Services: []string{"web"}}, func(m api.Message) {
		if m.Notice == nil || m.Notice.Text != fmt.Sprint(seen) {
			t.Errorf("message %d is %+v", seen, m.Notice)
		}
		if seen++; seen <= 3 {
			next <- struct{}{}
		}
	})
	if err != nil || res.Plan != "web <&>" || seen != 5000 {
		t.Errorf("%+v, %v after %d messages", res, err, seen)
	}
}

func TestErrorsAndPanics(t *testing.T) {
	s := newServer()
	want := &api.Error{Message: "port 80 is taken", Service: "web", Hint: "stop nginx", Detail: []string{"a"}, Path: "services.web", Code: 17}
	server.Handle(s, api.OpUp, func(context.Context, api.UpRequest, func(api.Message)) (struct{}, error) {
		return struct{}{}, fmt.Errorf("start: %w", want)
	})
	server.Handle(s, api.OpPs, func(context.Context, api.PsRequest, func(api.Message)) ([]api.Container, error) {
		panic("oh")
	})
	server.Handle(s, api.OpLs, func(context.Context, struct{}, func(api.Message)) ([]api.LsResult, error) {
		return nil, nil
	})
	c := serve(t, s)
	_, err := c.Up(t.Context(), api.UpRequest{}, nil)
	var e *api.Error
	if !errors.As(err, &e) || e.Error() != want.Error() || e.Code != 17 || e.Path != want.Path {
		t.Errorf("Up = %#v", err)
	}
	if _, err := c.Ps(t.Context(), api.PsRequest{}); err == nil || !strings.Contains(err.Error(), "internal error in ps: oh") {
		t.Errorf("Ps = %v", err)
	}
	if res, err := c.Ls(t.Context()); err != nil || res != nil { // the server goes on
		t.Errorf("Ls = %v, %v", res, err)
	}
	if err := c.Pull(t.Context(), api.PullRequest{}, nil); err == nil || !strings.Contains(err.Error(), `no operation "pull"`) {
		t.Errorf("Pull = %v", err)
	}
}

func TestCancellationReachesTheEngine(t *testing.T) {
	s := newServer()
	began, ended := make(chan struct{}, 1), make(chan error, 1)
	server.Handle(s, api.OpWait, func(ctx context.Context, _ api.WaitRequest, _ func(api.Message)) (api.WaitResult, error) {
		began <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return api.WaitResult{}, ctx.Err()
	})
	c := serve(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	if _, err := c.Wait(ctx, api.WaitRequest{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %v", err)
	}
	<-ended
}

func TestShutdownEndsStreams(t *testing.T) {
	s := newServer()
	server.Handle(s, api.OpLogs, func(ctx context.Context, _ api.LogsRequest, emit func(api.Message)) (struct{}, error) {
		emit(api.Message{Log: &api.LogLine{Text: "one"}})
		<-ctx.Done()
		return struct{}{}, ctx.Err()
	})
	server.HandleDuplex(s, api.OpAttach, func(ctx context.Context, _ api.AttachRequest, se *server.Session) (int, error) {
		se.Stdout.Write([]byte("hello"))
		<-ctx.Done()
		return 0, ctx.Err()
	})
	c := serve(t, s)
	shutdown := make(chan error, 1)
	attached := make(chan error, 1)
	said := make(chan struct{})
	go func() {
		_, err := c.Attach(t.Context(), api.AttachRequest{}, Streams{Out: writerFunc(func([]byte) { close(said) })})
		attached <- err
	}()
	<-said
	err := c.Logs(t.Context(), api.LogsRequest{}, func(api.Message) {
		go func() { shutdown <- s.Shutdown(context.Background()) }()
	})
	for _, err := range []error{err, <-attached} {
		if err == nil || err.Error() != server.ErrShutdown.Error() {
			t.Errorf("stream ended with %v", err)
		}
	}
	if err := <-shutdown; err != nil {
		t.Error(err)
	}
	if _, err := Dial(t.Context(), c.options); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Dial = %v", err)
	}
}

func TestShutdownDoesNotWaitForSilentClients(t *testing.T) {
	s := newServer()
	c := serve(t, s)
	conn, err := net.Dial("unix", c.options.Roots.Socket())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	again, err := Dial(t.Context(), c.options) // behind it in the queue
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	begin := time.Now()
	if err := s.Shutdown(t.Context()); err != nil || time.Since(begin) > time.Second {
		t.Errorf("shutdown took %v: %v", time.Since(begin), err)
	}
}

func TestSlowClientDoesNotGrowTheEngine(t *testing.T) {
	s := newServer()
	var sent int
	done := make(chan struct{})
	server.Handle(s, api.OpLogs, func(ctx context.Context, _ api.LogsRequest, emit func(api.Message)) (struct{}, error) {
		defer close(done)
		for ctx.Err() == nil { // without backpressure this would never end
			emit(api.Message{Log: &api.LogLine{Text: strings.Repeat("x", 1000)}})
			sent++
		}
		return struct{}{}, nil
	})
	c := serve(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.Logs(ctx, api.LogsRequest{}, func(api.Message) {
		cancel()
		<-done // and emit must let go when the client does
	})
	if sent > 5000 {
		t.Errorf("%d messages of 1 kB were sent to a client that read one", sent)
	}
}

func TestIdle(t *testing.T) {
	idle := make(chan struct{}, 10)
	build, _ := api.BuildOf("/proc/self/exe")
	s := server.New(server.Options{Build: build, Idle: func() { idle <- struct{}{} }})
	c := serve(t, s)
	if s.Active() != 1 || s.CloseIfIdle() {
		t.Error("idle with a client")
	}
	c.Close()
	<-idle
	if s.Active() != 0 || !s.CloseIfIdle() {
		t.Error("not idle without a client")
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestDuplex(t *testing.T) {
	s := newServer()
	server.HandleDuplex(s, api.OpExec, func(ctx context.Context, req api.ExecRequest, se *server.Session) (int, error) {
		se.Emit(api.Message{Progress: &api.Progress{ID: req.Service}})
		n, err := io.Copy(se.Stdout, se.Stdin) // until the client closes its end
		fmt.Fprintf(se.Stderr, "%d bytes", n)
		return 42, err
	})
	c := serve(t, s)
	in := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB, 16 windows
	var out, errOut bytes.Buffer
	progress := ""
	exit, err := c.Exec(t.Context(), api.ExecRequest{Service: "web"}, Streams{
		In: bytes.NewReader(in), Out: &out, Err: &errOut,
		Message: func(m api.Message) { progress = m.Progress.ID },
	})
	if err != nil || exit != 42 || !bytes.Equal(out.Bytes(), in) || errOut.String() != "4194304 bytes" || progress != "web" {
		t.Errorf("exit %d, %v, %d bytes out, %q, %q", exit, err, out.Len(), errOut.String(), progress)
	}
}

// A process that reads no input still gets signals and sizes.
func TestSignalsPassUnreadInput(t *testing.T) {
	s := newServer()
	server.HandleDuplex(s, api.OpRun, func(ctx context.Context, _ api.RunRequest, se *server.Session) (int, error) {
		size := <-se.Resize
		return int(<-se.Signals)*1000 + int(size.Rows)*10 + int(size.Cols), nil
	})
	c := serve(t, s)
	input, feed := io.Pipe()
	defer input.Close()
	sizes, signals := make(chan api.TTYSize), make(chan os.Signal)
	go func() {
		feed.Write(make([]byte, api.StdinWindow)) // returns when all of it is on its way
		sizes <- api.TTYSize{Rows: 24, Cols: 80}
		signals <- syscall.SIGTERM
		feed.Write(make([]byte, 1<<20)) // nobody will
	}()
	exit, err := c.Run(t.Context(), api.RunRequest{}, Streams{In: input, Resize: sizes, Signals: signals})
	if err != nil || exit != 15320 {
		t.Errorf("exit %d, %v", exit, err)
	}
}

func TestDuplexEndings(t *testing.T) {
	s := newServer()
	gone := make(chan error, 1)
	server.HandleDuplex(s, api.OpExec, func(ctx context.Context, req api.ExecRequest, se *server.Session) (int, error) {
		switch req.Service {
		case "fails":
			return 0, &api.Error{Message: "no such command", Code: 127}
		case "panics":
			panic("oh")
		}
		fmt.Fprint(se.Stdout, "up")
		<-ctx.Done()
		gone <- context.Cause(ctx)
		_, err := se.Stdin.Read(make([]byte, 1))
		return 0, err
	})
	c := serve(t, s)
	var e *api.Error
	if _, err := c.Exec(t.Context(), api.ExecRequest{Service: "fails"}, Streams{}); !errors.As(err, &e) || e.Code != 127 {
		t.Errorf("Exec = %v", err)
	}
	if _, err := c.Exec(t.Context(), api.ExecRequest{Service: "panics"}, Streams{}); err == nil || !strings.Contains(err.Error(), "internal error") {
		t.Errorf("Exec = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	input, _ := io.Pipe()
	defer input.Close()
	_, err := c.Exec(ctx, api.ExecRequest{}, Streams{In: input, Out: writerFunc(func([]byte) { cancel() })})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Exec = %v", err)
	}
	if cause := <-gone; !errors.Is(cause, server.ErrClientGone) {
		t.Errorf("cause %v", cause)
	}
}

func TestRefusingServerSendsClientsOn(t *testing.T) {
	s := newServer()
	server.Handle(s, api.OpLs, func(context.Context, struct{}, func(api.Message)) ([]api.LsResult, error) { return nil, nil })
	c := serve(t, s)
	s.Refuse()
	if _, err := c.Ls(t.Context()); err == nil {
		t.Error("a refusing server serves")
	}
}

func TestVersions(t *testing.T) {
	ordered := []string{"dev", "0.1.0", "0.2", "v0.10.0-rc.1", "0.10.0-rc.2", "0.10", "1.0.0-dev", "v1"}
	for i, a := range ordered {
		for k, b := range ordered {
			want := min(1, max(-1, i-k))
			if got := compareVersions(a, b); got != want {
				t.Errorf("compareVersions(%s, %s) = %d, want %d", a, b, got, want)
			}
		}
	}
	tests := []struct {
		engine         api.VersionResult
		version, build string
		want           bool
	}{
		{api.VersionResult{Version: "1.0", Protocol: api.Protocol, Build: "5-1"}, "1.0", "5-1", false},
		{api.VersionResult{Version: "1.0", Protocol: api.Protocol, Build: "5-1"}, "1.0", "6-1", true},
		{api.VersionResult{Version: "1.0", Protocol: api.Protocol, Build: "7-1"}, "1.0", "6-1", false},
		{api.VersionResult{Version: "1.0", Protocol: api.Protocol, Build: "7-1"}, "1.1", "6-1", true},
		{api.VersionResult{Version: "1.1", Protocol: api.Protocol, Build: "5-1"}, "1.0", "6-1", false},
		{api.VersionResult{Version: "1.1", Protocol: api.Protocol - 1}, "1.0", "6-1", true},
	}
	for _, tt := range tests {
		if got := outdated(tt.engine, tt.version, tt.build); got != tt.want {
			t.Errorf("outdated(%+v, %s, %s) = %v", tt.engine, tt.version, tt.build, got)
		}
	}
}

// A call whose context ends as the result comes leaves no closed connection to
// the next one.
func TestContextEndsWithTheResult(t *testing.T) {
	s := newServer()
	server.Handle(s, api.OpPs, func(context.Context, api.PsRequest, func(api.Message)) ([]api.Container, error) { return nil, nil })
	c := serve(t, s)
	for i := range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for range i * 20 { // sooner or later
				runtime.Gosched()
			}
			cancel()
		}()
		c.Ps(ctx, api.PsRequest{})
		if _, err := c.Ps(t.Context(), api.PsRequest{}); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		cancel()
	}
}

func TestLastLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if lines := lastLines(path, 0, 3); lines != nil {
		t.Errorf("no file: %q", lines)
	}
	os.WriteFile(path, []byte(strings.Repeat("long line\n", 5000)+"a\nb\n"), 0o600)
	end := sizeOf(path)
	for begin, want := range map[int64]string{0: "long line,a,b", end - 2: "b", end: "", end + 1: "long line,a,b"} {
		if lines := lastLines(path, begin, 3); strings.Join(lines, ",") != want {
			t.Errorf("from %d of %d: %q, want %q", begin, end, lines, want)
		}
	}
}

func BenchmarkPs(b *testing.B) {
	s := newServer()
	server.Handle(s, api.OpPs, func(context.Context, api.PsRequest, func(api.Message)) ([]api.Container, error) {
		return make([]api.Container, 20), nil
	})
	dir := b.TempDir()
	l, err := net.Listen("unix", dir+"/engine.sock")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	for b.Loop() {
		c, err := Dial(b.Context(), Options{Roots: state.Roots{Run: dir}})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Ps(b.Context(), api.PsRequest{}); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
	s.Shutdown(context.Background())
	<-served
}
