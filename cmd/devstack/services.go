package main

import (
	"context"

	"devstack/engine/api"
	"devstack/engine/api/client"
)

// serviceCall is one of the client's calls on services: start, stop, ...
type serviceCall func(*client.Client, context.Context, api.ServiceRequest, func(api.Message)) error

// onServices is what start, stop, restart, kill and rm have in common: find
// the project, ask the engine, show progress.
func (e *env) onServices(ctx context.Context, title string, req api.ServiceRequest, call serviceCall) error {
	p, name, err := e.loadOrName(ctx, req.Services...)
	if err != nil {
		return err
	}
	req.Project, req.Name = p, name
	if e.flags.dryRun {
		return e.rehearse(ctx, title, req)
	}
	c, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return e.progress(title, func(emit func(api.Message)) error { return call(c, ctx, req, emit) })
}
