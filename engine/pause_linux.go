package engine

import (
	"context"

	"devstack/engine/api"
	"devstack/engine/supervise"
)

// Pause freezes the running containers of services.
func (e *Engine) Pause(ctx context.Context, req api.ServiceRequest, emit func(api.Message)) (struct{}, error) {
	return e.freeze(ctx, req, emit, "Pausing", "Paused", (*supervise.Unit).Pause)
}

// Unpause thaws them.
func (e *Engine) Unpause(ctx context.Context, req api.ServiceRequest, emit func(api.Message)) (struct{}, error) {
	return e.freeze(ctx, req, emit, "Unpausing", "Unpaused", (*supervise.Unit).Resume)
}

func (e *Engine) freeze(ctx context.Context, req api.ServiceRequest, emit func(api.Message), working, done string, act func(*supervise.Unit, context.Context) error) (struct{}, error) {
	p, services, unlock, err := e.lockTargets(ctx, &req)
	if err != nil || p == nil {
		return struct{}{}, err
	}
	defer unlock()
	return struct{}{}, eachUnit(ctx, p, services, false, func(ctx context.Context, u *supervise.Unit) error {
		if u.Process() == nil {
			return nil
		}
		return step(u, emit, working, done, func() error { return act(u, ctx) })
	})
}
