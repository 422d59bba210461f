package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/container"
	"devstack/engine/live"
	"devstack/engine/supervise"
	"devstack/engine/watch"
)

// liveEngine is the engine as package live needs it.
type liveEngine struct{ *Engine }

var _ live.Engine = liveEngine{}

// Project is the project called name, or nil.
func (l liveEngine) Project(name string) *supervise.Project { return l.known(name) }

// Warn takes what nobody waits for.
func (l liveEngine) Warn(err error) { l.warn(err) }

// PruneImage removes an image that a rebuild replaced; one that something still
// needs stays.
func (l liveEngine) PruneImage(ctx context.Context, id string) {
	_, _ = l.RemoveImage(ctx, api.RemoveImageRequest{Refs: []string{id}}, nil)
}

// BaseImage is what is known of an image that a Dockerfile builds on.
func (l liveEngine) BaseImage(ref string) (watch.Image, bool) {
	img, err := l.images.Lookup(context.Background(), ref)
	if err != nil {
		return watch.Image{}, false
	}
	c := img.Config
	return watch.Image{WorkingDir: c.WorkingDir, Entrypoint: c.Entrypoint, Cmd: c.Cmd, Env: c.Env}, true
}

// mostOutput is how much of a hook's output is kept: its end.
const mostOutput = 16 << 10

// Hook runs the command of a rule in a container.
func (l liveEngine) Hook(ctx context.Context, u *supervise.Unit, h *compose.Hook) (string, int, error) {
	var env []string
	for key, value := range h.Environment {
		if value != nil {
			env = append(env, key+"="+*value)
		}
	}
	slices.Sort(env)
	proc, err := u.ProcessSpec(h.User, h.WorkingDir, env, h.Command, false, h.Privileged)
	if err != nil {
		return "", 0, err
	}
	c := u.Process()
	if c == nil {
		return "", 0, fmt.Errorf("container %s is not running", u.Name())
	}
	r, w, err := os.Pipe()
	if err != nil {
		return "", 0, err
	}
	defer r.Close()
	p, err := c.Exec(ctx, container.ExecConfig{Process: proc, Unconfined: h.Privileged, Stdout: w, Stderr: w})
	w.Close()
	if err != nil {
		return "", 0, err
	}
	var out tail
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = out.ReadFrom(r)
	}()
	exit, err := p.Wait(ctx)
	if err != nil && ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), ignoreESRCH(p.Signal(unix.SIGKILL)))
		_, _ = p.Wait(context.WithoutCancel(ctx))
	}
	finish(drained, r)
	return out.String(), exit.Code, err
}

func ignoreESRCH(err error) error {
	if errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// tail keeps the end of what is read.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// ReadFrom reads r to its end.
func (t *tail) ReadFrom(r *os.File) (n int64, err error) {
	chunk := make([]byte, 4<<10)
	for {
		k, err := r.Read(chunk)
		t.mu.Lock()
		t.buf.Write(chunk[:k])
		if over := t.buf.Len() - mostOutput; over > 0 {
			t.buf.Next(over)
		}
		t.mu.Unlock()
		if n += int64(k); err != nil {
			return n, nil
		}
	}
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
