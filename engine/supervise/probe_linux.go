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
	out, code, err := u.capture(ctx, c, check.Command(u.rec.Image.Config.Shell))
	res.End = time.Now()
	res.Output = strings.TrimSpace(out)
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

// capture runs args in the container and returns the start of its output.
func (u *Unit) capture(ctx context.Context, c *container.Container, args []string) (string, int, error) {
	proc, err := u.ProcessSpec("", "", nil, args, false, false)
	if err != nil {
		return "", 0, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return "", 0, err
	}
	defer r.Close()
	p, err := c.Exec(ctx, container.ExecConfig{Process: proc, Stdout: w, Stderr: w})
	w.Close()
	if err != nil {
		return "", 0, err
	}
	var out bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		io.Copy(&out, io.LimitReader(r, maxProbeOutput))
		io.Copy(io.Discard, r)
	}()
	exit, err := p.Wait(ctx)
	if err != nil {
		u.m.warn(p.KillTree())
		exit, _ = p.Wait(context.WithoutCancel(ctx))
	}
	// A probe may leave a child behind that holds the pipe: what came until
	// the probe's own end counts.
	r.SetReadDeadline(time.Now().Add(probeDrain))
	<-read
	return out.String(), exit.Code, err
}

// probeDrain bounds how long a probe's output is read after its end.
const probeDrain = 50 * time.Millisecond

// LastProbe is the output of the container's latest healthcheck.
func (u *Unit) LastProbe() (output string, code int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.probe.Output, u.probe.Code
}
