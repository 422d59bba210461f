package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"devstack/engine/api"
	"devstack/engine/api/server"
	"devstack/engine/container"
	"devstack/engine/supervise"
)

// unit finds the container that an exec or attach is about.
func (e *Engine) unit(project, service string, index int) (*supervise.Unit, error) {
	if p := e.known(project); p != nil {
		for _, u := range p.ServiceUnits(service) {
			if (index == 0 || u.Number() == index) && u.Process() != nil {
				return u, nil
			}
		}
	}
	if index > 1 {
		return nil, &api.Error{Message: fmt.Sprintf("service %q is not running container #%d", service, index)}
	}
	return nil, &api.Error{Message: fmt.Sprintf("service %q is not running", service)}
}

// Exec runs a command in a running container.
func (e *Engine) Exec(ctx context.Context, req api.ExecRequest, se *server.Session) (int, error) {
	u, err := e.unit(req.Name, req.Service, req.Index)
	if err != nil {
		return 0, err
	}
	proc, err := u.ProcessSpec(req.User, req.WorkingDir, req.Env, req.Command, req.TTY, req.Privileged)
	if err != nil {
		return 0, &api.Error{Service: req.Service, Message: err.Error()}
	}
	c := u.Process()
	if c == nil {
		return 0, &api.Error{Message: fmt.Sprintf("service %q is not running", req.Service)}
	}
	cfg := container.ExecConfig{Process: proc, Unconfined: req.Privileged}
	switch {
	case req.Detach:
		return 0, execError(e.execDetached(ctx, c, cfg))
	case req.TTY:
		proc.ConsoleSize = &specs.Box{Height: uint(req.Size.Rows), Width: uint(req.Size.Cols)}
		code, err := execTTY(ctx, c, cfg, se)
		return code, execError(err)
	}
	code, err := execPipes(ctx, c, cfg, req.Stdin, se)
	return code, execError(err)
}

// execError gives a command that could not be executed the exit code that a
// shell would.
func execError(err error) error {
	var child *container.ChildError
	if errors.As(err, &child) {
		return &api.Error{Message: err.Error(), Code: child.ExitCode()}
	}
	return err
}

func (e *Engine) execDetached(ctx context.Context, c *container.Container, cfg container.ExecConfig) error {
	cfg.Process.Terminal = false
	p, err := c.Exec(ctx, cfg)
	if err != nil {
		return err
	}
	go p.Wait(context.WithoutCancel(ctx)) // reaped whenever it ends
	return nil
}

func execTTY(ctx context.Context, c *container.Container, cfg container.ExecConfig, se *server.Session) (int, error) {
	p, err := c.Exec(ctx, cfg)
	if err != nil {
		return 0, err
	}
	console := p.Console()
	defer console.Close()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		io.Copy(se.Stdout, console) // ends with EIO when the last holder closes
	}()
	go io.Copy(console, se.Stdin)
	exit, err := converse(ctx, p, se, console)
	if err == nil {
		finish(drained, console)
	}
	return exit.Code, err
}

func execPipes(ctx context.Context, c *container.Container, cfg container.ExecConfig, withStdin bool, se *server.Session) (int, error) {
	var files []*os.File
	pipe := func() (r, w *os.File, err error) {
		r, w, err = os.Pipe()
		if err == nil {
			files = append(files, r, w)
		}
		return r, w, err
	}
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	outR, outW, err := pipe()
	if err != nil {
		return 0, err
	}
	errR, errW, err := pipe()
	if err != nil {
		return 0, err
	}
	cfg.Stdout, cfg.Stderr = outW, errW
	var stdin *os.File
	if withStdin {
		if cfg.Stdin, stdin, err = pipe(); err != nil {
			return 0, err
		}
	}
	p, err := c.Exec(ctx, cfg)
	if err != nil {
		return 0, err
	}
	outW.Close()
	errW.Close()
	if stdin != nil {
		cfg.Stdin.Close()
		go func() {
			io.Copy(stdin, se.Stdin)
			stdin.Close()
		}()
	}
	var copies sync.WaitGroup
	copies.Go(func() { io.Copy(se.Stdout, outR) })
	copies.Go(func() { io.Copy(se.Stderr, errR) })
	drained := make(chan struct{})
	go func() {
		copies.Wait()
		close(drained)
	}()
	exit, err := converse(ctx, p, se, nil)
	if err == nil {
		finish(drained, outR, errR)
	}
	return exit.Code, err
}

// converse passes signals and sizes on until the process ends. When the client
// goes, the process goes, too, with all that it has started.
func converse(ctx context.Context, p *container.Process, se *server.Session, console *os.File) (container.Exit, error) {
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case sig := <-se.Signals:
				p.Signal(unix.Signal(sig))
			case size := <-se.Resize:
				if console != nil {
					_ = container.Resize(console, size.Rows, size.Cols) // it may be gone
				}
			case <-stop:
				return
			}
		}
	}()
	exit, err := p.Wait(ctx)
	if err != nil && ctx.Err() != nil {
		err = errors.Join(err, p.KillTree())
		exit, _ = p.Wait(context.WithoutCancel(ctx))
	}
	return exit, err
}

// finish lets the last output through: what the process wrote is in the pipe
// already, but a child of its own may hold the pipe open for ever.
func finish(drained <-chan struct{}, readers ...*os.File) {
	for _, r := range readers {
		r.SetReadDeadline(supervise.DrainDeadline())
	}
	<-drained
}
