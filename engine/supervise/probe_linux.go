package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"devstack/compose"
	"devstack/engine/container"
	"devstack/engine/health"
)

// maxProbeOutput is how much of a probe's output is kept, in bytes (Docker's
// bound).
const maxProbeOutput = 4096

// probeResult is one run of a healthcheck.
type probeResult struct {
	health.Result
	Code   int
	Output string
	paused bool // there was none: the container is paused
}

// runProbe runs the check once inside the container.
func (u *Unit) runProbe(ctx context.Context, c *container.Container, check health.Check) probeResult {
	res := probeResult{Result: health.Result{Start: time.Now()}, Code: -1}
	ctx, cancel := context.WithTimeout(ctx, check.Timeout)
	defer cancel()
	var out bytes.Buffer
	code, err := u.capture(ctx, c, compose.Hook{Command: check.Command(u.rec.Image.Config.Shell)}, func(r io.Reader) {
		io.Copy(&out, io.LimitReader(r, maxProbeOutput))
		io.Copy(io.Discard, r)
	})
	res.End = time.Now()
	res.Output = strings.TrimSpace(out.String())
	res.paused = errors.Is(err, container.ErrPaused)
	switch {
	case ctx.Err() == context.DeadlineExceeded:
		res.Output = strings.TrimSpace(fmt.Sprintf("%s\nhealthcheck exceeded its timeout (%s)", res.Output, check.Timeout))
	case err != nil:
		res.Output = err.Error()
	default:
		res.Code = code
		res.Healthy = code == 0
	}
	return res
}

// capture runs a command in c to its end, while read takes all that it prints.
func (u *Unit) capture(ctx context.Context, c *container.Container, h compose.Hook, read func(io.Reader)) (code int, err error) {
	cfg, err := u.execConfig(h)
	if err != nil {
		return 0, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	cfg.Stdout, cfg.Stderr = w, w
	p, err := c.Exec(ctx, cfg)
	w.Close()
	if err != nil {
		return 0, err
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		read(r)
	}()
	exit, err := u.awaitProcess(ctx, p)
	// It may leave a child behind that holds the pipe: what came until its own
	// end counts.
	r.SetReadDeadline(DrainDeadline())
	<-drained
	return exit.Code, err
}

// execConfig is how a command is run in the container.
func (u *Unit) execConfig(h compose.Hook) (container.ExecConfig, error) {
	proc, err := u.ProcessSpec(h.User, h.WorkingDir, setVariables(h.Environment), h.Command, false, h.Privileged)
	return container.ExecConfig{Process: proc, Unconfined: h.Privileged}, err
}

// awaitProcess waits for the end of p. When ctx ends before, p ends, too, with
// all that it has started.
func (u *Unit) awaitProcess(ctx context.Context, p *container.Process) (container.Exit, error) {
	exit, err := p.Wait(ctx)
	if err != nil {
		u.m.warn(p.KillTree())
		exit, _ = p.Wait(context.WithoutCancel(ctx))
	}
	return exit, err
}

// probeDrain bounds how long a probe's output is read after its end.
const probeDrain = 50 * time.Millisecond

// LastProbe is the output of the container's latest healthcheck.
func (u *Unit) LastProbe() (output string, code int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.probe.Output, u.probe.Code
}
