package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"devstack/cmd/devstack/render"
	"devstack/engine/api"
	"devstack/engine/api/client"
	"devstack/engine/state"
)

// dial reaches the engine, and starts one where none runs.
func (e *env) dial(ctx context.Context) (*client.Client, error) {
	return client.Dial(ctx, e.clientOptions(true))
}

// dialIfAny reaches the engine if it runs or has something to take care of;
// otherwise there is nothing to ask and c is nil.
func (e *env) dialIfAny(ctx context.Context) (c *client.Client, err error) {
	c, err = client.Dial(ctx, e.clientOptions(false))
	if !errors.Is(err, client.ErrNotRunning) {
		return c, err
	}
	left, err := os.ReadDir(filepath.Join(e.roots().Run, "projects"))
	if err != nil || len(left) == 0 {
		return nil, nil
	}
	return e.dial(ctx)
}

func (e *env) clientOptions(start bool) client.Options {
	return client.Options{Roots: e.roots(), Version: version, Exe: e.exe, Start: start, Environ: e.environ}
}

func (e *env) roots() state.Roots { return state.RootsFrom(e.getenv, e.uid) }

// progress runs fn and shows what it reports under a title.
func (e *env) progress(title string, fn func(emit func(api.Message)) error) error {
	d := e.display(title)
	defer d.Close()
	return fn(emitTo(d))
}

func emitTo(d render.Display) func(api.Message) {
	return func(m api.Message) {
		switch {
		case m.Progress != nil:
			d.Progress(*m.Progress)
		case m.Notice != nil:
			d.Notice(*m.Notice)
		}
	}
}

func (e *env) display(title string) render.Display {
	w := e.status()
	o := render.ProgressOptions{
		Mode: e.progressMode(), Title: title, Style: e.style(w), Now: e.now,
		Size: func() (int, int) { return terminalSize(w) },
	}
	if e.flags.dryRun {
		o.Prefix = "DRY-RUN MODE - "
	}
	return render.NewProgress(w, o)
}

// status is where progress goes: standard error, unless
// COMPOSE_STATUS_STDOUT is set.
func (e *env) status() io.Writer {
	if e.flags.statusOut {
		return e.stdout
	}
	return e.stderr
}

// progressMode settles --progress: "auto" is a tree on a terminal that knows
// escapes, plain lines elsewhere.
func (e *env) progressMode() string {
	switch {
	case e.flags.progress != render.ModeAuto:
		return e.flags.progress
	case isTerminal(e.status()) && e.flags.ansi != "never" && e.getenv("TERM") != "dumb":
		return render.ModeTTY
	}
	return render.ModePlain
}
