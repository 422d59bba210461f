package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/container"
)

// hookError is a hook that did not do its work.
type hookError struct {
	kind  string // post_start, pre_stop
	index int
	err   error
}

func (e *hookError) Error() string { return fmt.Sprintf("%s hook %v", e.kind, e.err) }
func (e *hookError) Unwrap() error { return e.err }

// runHooks runs commands in the running container, one after the other, up to
// the first that fails. What they print goes to the container's journal.
func (u *Unit) runHooks(ctx context.Context, kind string, hooks []compose.Hook) error {
	for i, h := range hooks {
		c := u.Process()
		if c == nil {
			return &hookError{kind, i, errors.New("cannot run: the container has ended")}
		}
		if err := u.runHook(ctx, c, h); err != nil {
			return &hookError{kind, i, err}
		}
	}
	return nil
}

func (u *Unit) runHook(ctx context.Context, c *container.Container, h compose.Hook) error {
	cfg, err := u.execConfig(h)
	if err != nil {
		return err
	}
	out, err := u.journalPipes()
	if err != nil {
		return err
	}
	cfg.Stdout, cfg.Stderr = out.w[0], out.w[1]
	p, err := c.Exec(ctx, cfg)
	out.closeWriters()
	if err != nil {
		out.drain()
		return err
	}
	exit, err := u.awaitProcess(ctx, p)
	out.drain()
	switch {
	case err != nil:
		return err
	case exit.Code != 0:
		return fmt.Errorf("exited with status %d", exit.Code)
	}
	return nil
}

// mostOutput is how much of a command's output RunHook returns: its end.
const mostOutput = 16 << 10

// RunHook runs a command in the running container and returns what it prints.
func (u *Unit) RunHook(ctx context.Context, h compose.Hook) (output string, code int, err error) {
	c := u.Process()
	if c == nil {
		return "", 0, fmt.Errorf("container %s is not running", u.name)
	}
	var end tail
	code, err = u.capture(ctx, c, h, func(r io.Reader) { io.Copy(&end, r) })
	return end.buf.String(), code, err
}

// tail keeps the end of what is written to it.
type tail struct{ buf bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	t.buf.Write(p)
	if over := t.buf.Len() - mostOutput; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

// setVariables are the variables of m that have a value.
func setVariables(m compose.Mapping) []string {
	var out []string
	for key, value := range m {
		if value != nil {
			out = append(out, key+"="+*value)
		}
	}
	slices.Sort(out)
	return out
}

// journalPipes lead into the container's journal: stdout and stderr.
type journalPipes struct {
	r, w   [2]*os.File
	copies sync.WaitGroup
}

func (u *Unit) journalPipes() (*journalPipes, error) {
	p := &journalPipes{}
	journal := u.Journal()
	for i, stream := range []string{"stdout", "stderr"} {
		var err error
		if p.r[i], p.w[i], err = os.Pipe(); err != nil {
			p.closeWriters()
			p.drain()
			return nil, err
		}
		p.copies.Go(func() {
			err := journal.Copy(context.Background(), stream, p.r[i])
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				u.m.warn(err)
			}
		})
	}
	return p, nil
}

func (p *journalPipes) closeWriters() {
	for _, f := range p.w {
		if f != nil {
			f.Close()
		}
	}
}

// drain lets the last output through. A child that the hook left behind may
// hold a pipe open for ever.
func (p *journalPipes) drain() {
	for _, f := range p.r {
		if f != nil {
			f.SetReadDeadline(DrainDeadline())
		}
	}
	p.copies.Wait()
	for _, f := range p.r {
		if f != nil {
			f.Close()
		}
	}
}

// afterStart runs the post_start hooks. A one-off command may be over before
// its hooks are: that is no fault.
func (u *Unit) afterStart(ctx context.Context) error {
	err := u.runHooks(ctx, "post_start", u.rec.Declared.PostStart)
	if err != nil && u.oneOff && u.Process() == nil {
		return nil
	}
	return u.hookFault(err)
}

// beforeStop runs the pre_stop hooks. One that fails is told in the journal
// and does not keep the container from being stopped.
func (u *Unit) beforeStop(ctx context.Context) {
	if len(u.rec.Declared.PreStop) == 0 || u.Process() == nil {
		return
	}
	if err := u.runHooks(ctx, "pre_stop", u.rec.Declared.PreStop); err != nil {
		u.m.warn(fmt.Errorf("stop container %s: %w", u.name, err))
		u.m.warn(u.Journal().Append("stderr", time.Now(), []byte("devstack: "+err.Error()+"\n")))
	}
}

// hookFault gives the error of a hook its place in the project file.
func (u *Unit) hookFault(err error) error {
	var h *hookError
	if !errors.As(err, &h) {
		return err
	}
	return &api.Error{
		Service: u.service, Message: fmt.Sprintf("container %s: %v", u.name, err),
		Path:   compose.Path("services", u.service, h.kind, fmt.Sprint(h.index)),
		Detail: u.Evidence(false),
	}
}
