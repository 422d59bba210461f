package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"devstack/engine/api"
	"devstack/engine/api/server"
	"devstack/engine/guard"
	"devstack/engine/state"
)

// idleGrace is how long an engine with nothing to run waits for the next
// client before it ends.
const idleGrace = 3 * time.Second

// ServeOptions of Serve.
type ServeOptions struct {
	Roots   state.Roots
	Version string
	Log     *slog.Logger
}

// Serve is the engine's process, a child of the guard: it serves the API until
// nothing is left to run or it is told to end. It returns the exit status that
// the guard understands.
func Serve(ctx context.Context, o ServeOptions) (status int, err error) {
	effort, haste := newEffort(), newHaste()
	link, err := guard.Connect()
	if err != nil {
		return 1, fmt.Errorf("serve: %w", err)
	}
	socket := link.Restored()[guard.API]
	if socket == nil {
		return 1, errors.New("serve: the guard has no listening socket")
	}
	delete(link.Restored(), guard.API)
	data, err := takeData(link, o.Roots)
	if err != nil {
		return 1, fmt.Errorf("serve: %w", err)
	}
	listener, err := net.FileListener(socket)
	socket.Close()
	if err != nil {
		return 1, fmt.Errorf("serve: %w", err)
	}
	// The guard removes the socket's file when it ends.
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	build, err := api.BuildOf("/proc/self/exe")
	if err != nil {
		return 1, err
	}
	p := &process{o: o, link: link, data: data, end: make(chan int, 1)}
	p.server = server.New(server.Options{Version: o.Version, Build: build, Log: o.Log, Idle: p.mayBeIdle, Outdated: p.outdated})
	warn := func(err error) { o.Log.Warn(err.Error()) }
	p.engine, err = Open(ctx, Config{Roots: o.Roots, Version: o.Version, Build: build, Guard: link, Idle: p.mayBeIdle, Warn: warn, Effort: effort, Haste: haste})
	if err != nil {
		return 1, err
	}
	p.engine.generation, p.engine.guardPID = link.Generation(), link.GuardPID()
	p.engine.register(p.server)
	p.engine.resumeWatches()
	server.Handle(p.server, api.OpStatus, func(context.Context, struct{}, func(api.Message)) (api.StatusResult, error) {
		return p.engine.Status(), nil
	})
	server.Handle(p.server, api.OpShutdown, p.shutdown)
	if err := link.Serving(); err != nil {
		return 1, fmt.Errorf("serve: %w", err)
	}
	p.mayBeIdle()
	return p.serve(ctx, listener)
}

// process decides when an engine's process ends.
type process struct {
	o      ServeOptions
	link   *guard.Link
	data   *dataRoot
	server *server.Server
	engine *Engine
	end    chan int // the exit status, once

	mu    sync.Mutex
	timer *time.Timer
}

func (p *process) serve(ctx context.Context, l net.Listener) (int, error) {
	served := make(chan error, 1)
	go func() { served <- p.server.Serve(ctx, l) }()
	var status int
	select {
	case status = <-p.end:
	case err := <-served:
		if err != nil {
			return 1, err
		}
		status = <-p.end
	case <-ctx.Done():
		status = guard.StatusDone
	}
	farewell, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := p.server.Shutdown(farewell)
	if status == guard.StatusDone {
		err = errors.Join(err, p.link.Goodbye())
	}
	return status, errors.Join(err, p.engine.Close())
}

// mayBeIdle is called whenever a client or a container has gone: some time
// later the process ends, unless somebody came.
func (p *process) mayBeIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer == nil {
		p.timer = time.AfterFunc(idleGrace, p.endIfIdle)
		return
	}
	p.timer.Reset(idleGrace)
}

func (p *process) endIfIdle() {
	if p.engine == nil || p.engine.Busy() {
		// Memory that the last operation needed goes back to the machine.
		debug.FreeOSMemory()
		guard.Trim()
		return
	}
	if p.server.CloseIfIdle() {
		p.finish(guard.StatusDone)
	}
}

// outdated says whether the data root was removed. What this engine knows is
// wrong, then: the next one makes the root again and takes over what runs.
func (p *process) outdated() bool {
	if !p.data.gone() {
		return false
	}
	p.o.Log.Warn("the data root was removed: starting again", "root", p.o.Roots.Data)
	p.server.Refuse()
	p.finish(guard.StatusRestart)
	return true
}

func (p *process) finish(status int) {
	select {
	case p.end <- status:
	default: // it ends already
	}
}

// shutdown ends the engine on request; with Force also over running containers,
// which the next engine adopts.
func (p *process) shutdown(_ context.Context, req api.ShutdownRequest, _ func(api.Message)) (struct{}, error) {
	switch {
	case req.Restart:
		if req.Exe != "" {
			if err := p.link.UseBinary(req.Exe); err != nil {
				return struct{}{}, err
			}
		}
		p.server.Refuse() // nothing new begins on an engine that ends
		p.finish(guard.StatusRestart)
		return struct{}{}, nil
	case p.engine.Busy() && !req.Force:
		return struct{}{}, &api.Error{
			Message: "containers are still running", Hint: "`devstack down` stops a project, `devstack engine stop --force` leaves them running without an engine",
		}
	}
	p.server.Refuse()
	p.finish(guard.StatusDone)
	return struct{}{}, nil
}
