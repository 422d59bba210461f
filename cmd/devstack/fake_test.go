package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"devstack/engine/api"
	"devstack/engine/api/server"
)

// fake plays an engine: it answers each operation as a file of the script
// says, and writes down what it was asked. The protocol and the client are the
// real ones.
//
//	{"ps": {"result": [...]}, "up": {"messages": [...], "error": {...}},
//	 "logs": {"messages": [...], "until": "stop", "then": [...]},
//	 "exec": {"stdout": "...", "exit": 3}}
type fake struct {
	answers  map[string]answer
	requests *os.File

	mu   sync.Mutex
	seen map[string]chan struct{} // closed once an operation was asked for
}

type answer struct {
	Messages []api.Message   `json:"messages"`
	Until    string          `json:"until"` // go on when this operation has been asked for
	Then     []api.Message   `json:"then"`
	Result   json.RawMessage `json:"result"`
	Error    *api.Error      `json:"error"`
	Stdout   string          `json:"stdout"`
	Stderr   string          `json:"stderr"`
	Echo     bool            `json:"echo"` // give the input back
	Exit     int             `json:"exit"`
}

// cmdFakeEngine: `fakeengine FILE` starts an engine that answers as FILE says,
// until the script ends. Requests appear in the file `requests`, a line each.
func cmdFakeEngine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: fakeengine FILE")
	}
	f := &fake{seen: make(map[string]chan struct{})}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &f.answers))
	requests, err := os.Create(ts.MkAbs("requests"))
	ts.Check(err)
	f.requests = requests
	run := ts.Getenv("DEVSTACK_RUN_ROOT")
	ts.Check(os.MkdirAll(run, 0o700))
	l, err := net.Listen("unix", filepath.Join(run, "engine.sock"))
	ts.Check(err)

	s := server.New(server.Options{Version: version, Build: "9223372036854775807-1"})
	for _, op := range []string{
		api.OpStatus, api.OpShutdown, api.OpUp, api.OpDown, api.OpStart, api.OpStop, api.OpRestart, api.OpKill,
		api.OpRemove, api.OpPs, api.OpLs, api.OpLogs, api.OpWait, api.OpPull, api.OpPush, api.OpEvents,
		api.OpPause, api.OpUnpause, api.OpTop, api.OpStats, api.OpVolumes, api.OpCommit, api.OpLock,
	} {
		server.Handle(s, op, func(ctx context.Context, req json.RawMessage, emit func(api.Message)) (json.RawMessage, error) {
			if op == api.OpShutdown {
				go s.Shutdown(context.WithoutCancel(ctx)) // it waits for this answer; the client waits for it
			}
			return f.answer(ctx, op, req, emit)
		})
	}
	for _, op := range []string{api.OpExec, api.OpRun, api.OpAttach, api.OpExport, api.OpCopyFrom, api.OpCopyTo} {
		server.HandleDuplex(s, op, func(ctx context.Context, req json.RawMessage, se *server.Session) (int, error) {
			return f.converse(ctx, op, req, se)
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	ts.Defer(func() {
		cancel()
		<-done
		requests.Close()
	})
}

func (f *fake) answer(ctx context.Context, op string, req json.RawMessage, emit func(api.Message)) (json.RawMessage, error) {
	f.note(op, req)
	a := f.answers[op]
	for _, m := range a.Messages {
		emit(m)
	}
	if a.Until != "" {
		select {
		case <-f.asked(a.Until):
		case <-ctx.Done():
			f.note(op+" cancelled", nil)
			return nil, ctx.Err()
		}
	}
	for _, m := range a.Then {
		emit(m)
	}
	if a.Error != nil {
		return nil, a.Error
	}
	if a.Result == nil {
		return json.RawMessage("null"), nil
	}
	return a.Result, nil
}

func (f *fake) converse(ctx context.Context, op string, req json.RawMessage, se *server.Session) (int, error) {
	f.note(op, req)
	a := f.answers[op]
	for _, m := range a.Messages {
		se.Emit(m)
	}
	if a.Error != nil {
		return 0, a.Error
	}
	fmt.Fprint(se.Stdout, a.Stdout)
	fmt.Fprint(se.Stderr, a.Stderr)
	if a.Echo {
		var in bytes.Buffer
		if _, err := in.ReadFrom(se.Stdin); err != nil {
			return 0, err
		}
		if _, err := se.Stdout.Write(in.Bytes()); err != nil {
			return 0, err
		}
	}
	if a.Until == "signal" {
		select {
		case sig := <-se.Signals:
			f.note("signal", json.RawMessage(fmt.Sprintf("%d", int(sig))))
			return 128 + int(sig), nil
		case <-ctx.Done():
			return 0, errors.New("client went away")
		}
	}
	return a.Exit, nil
}

// note writes a request down.
func (f *fake) note(op string, req json.RawMessage) {
	f.mu.Lock()
	fmt.Fprintf(f.requests, "%s %s\n", op, req)
	f.mu.Unlock()
	ch := f.asked(op)
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-ch:
	default:
		close(ch)
	}
}

// asked is closed once op was asked for.
func (f *fake) asked(op string) chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen[op] == nil {
		f.seen[op] = make(chan struct{})
	}
	return f.seen[op]
}
