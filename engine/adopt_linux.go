package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"devstack/engine/build"
	"devstack/engine/image/snapshot"
	"devstack/engine/state"
	"devstack/engine/supervise"
)

// adopt takes over what the records name and sweeps what they do not.
func (e *Engine) adopt(ctx context.Context, restored map[string]*os.File) error {
	loaded, err := e.m.Records.Load()
	errs := []error{err}
	known := map[string]*supervise.Unit{} // nil: left to a later engine, or removed just now
	for _, l := range loaded {
		p := supervise.NewProject(e.m, l.Project)
		if len(l.Containers) == 0 && len(l.Later) == 0 && l.Project.Declared == nil {
			errs = append(errs, e.m.Records.RemoveProject(p.Name)) // nothing came of it
			continue
		}
		e.projects[p.Name] = p
		for _, rec := range l.Containers {
			known[rec.ID] = nil
		}
		for _, id := range l.Later {
			known[id] = nil
		}
		// Containers that share another's network come after it.
		for _, shared := range []bool{false, true} {
			for _, rec := range l.Containers {
				if supervise.SharesNetwork(&rec) != shared {
					continue
				}
				running, err := p.Adopt(ctx, rec, restored)
				if err != nil {
					errs = append(errs, fmt.Errorf("adopt container %s: %w", rec.Name, err))
				}
				if running {
					e.adopted++
				}
			}
		}
		errs = append(errs, p.Supplant(ctx))
		for _, u := range p.Units() {
			known[u.ID()] = u
		}
	}
	if errors.Is(err, state.ErrIncomplete) {
		return errors.Join(errs...)
	}
	e.m.Unwritten.Forget()
	return errors.Join(append(errs, e.sweep(ctx, known), e.drop(restored, known))...)
}

// drop lets go of the streams that the guard kept for containers that are no
// more. It goes on to keep those of containers left to a later engine.
func (e *Engine) drop(restored map[string]*os.File, known map[string]*supervise.Unit) error {
	var errs []error
	for name, f := range restored {
		kind, rest, _ := strings.Cut(name, "/")
		if kind != "log" && kind != "stdin" {
			continue
		}
		errs = append(errs, f.Close())
		id, _, _ := strings.Cut(rest, "/")
		if _, ok := known[id]; !ok {
			errs = append(errs, e.cfg.Guard.Drop(name))
		}
	}
	return errors.Join(errs...)
}

// sweep removes what an engine that died in the middle of something left.
func (e *Engine) sweep(ctx context.Context, known map[string]*supervise.Unit) error {
	keep := func(id string) bool { _, ok := known[id]; return ok }
	running := func(id string) bool { return keep(id) && (known[id] == nil || known[id].Active()) }
	err := errors.Join(
		e.m.Runtime.Sweep(ctx, running), // a start or a removal that was cut short leaves its group
		e.m.Network.Sweep(ctx, func(name string) bool { return name != build.NetworkName }, keep),
		snapshot.Sweep(e.cfg.Roots.Data, keep),
		e.m.Volumes.Sweep(ctx),
	)
	return err
}
