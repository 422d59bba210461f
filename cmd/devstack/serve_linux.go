package main

import (
	"context"
	"log/slog"

	"devstack/engine"
	"devstack/engine/guard"
	"devstack/engine/state"
)

// serveEngine is the engine's process, a child of the guard: it serves the
// socket it inherits until it is idle or told to end.
func serveEngine(ctx context.Context, e *env) error {
	roots := state.RootsFrom(e.getenv, e.uid)
	status, err := engine.Serve(ctx, engine.ServeOptions{
		Roots:   roots,
		Version: version,
		Log:     slog.New(slog.NewTextHandler(&guard.Log{Path: roots.Log()}, nil)),
	})
	if err != nil {
		return err
	}
	return exitWith(status)
}
