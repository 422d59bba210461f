package main

import (
	"context"
	"log/slog"

	"devstack/engine"
	"devstack/engine/state"
)

// serveEngine is the engine's process, a child of the guard: it serves the
// socket it inherits until it is idle or told to end.
func serveEngine(ctx context.Context, e *env) error {
	status, err := engine.Serve(ctx, engine.ServeOptions{
		Roots:   state.RootsFrom(e.getenv, e.uid),
		Version: version,
		Log:     slog.New(slog.NewTextHandler(e.stderr, nil)),
	})
	if err != nil {
		return err
	}
	return exitWith(status)
}
