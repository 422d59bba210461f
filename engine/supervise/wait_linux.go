package supervise

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/logs"
	"devstack/engine/state"
)

// awaitDependencies waits until what s depends on is as it asked. skip are
// services that this operation leaves out (--no-deps). A dependency that can
// no longer become so is an error, or a notice where it is not required.
func (p *Project) awaitDependencies(ctx context.Context, s *compose.Service, among func(service string) bool, emit func(api.Message)) error {
	for _, dep := range slices.Sorted(maps.Keys(s.DependsOn)) {
		d := s.DependsOn[dep]
		if !among(dep) {
			continue
		}
		err := p.Await(ctx, func() (bool, error) {
			recs := p.records(dep)
			if len(recs) == 0 && !d.Required {
				return true, nil
			}
			ok, err := holds(d.Condition, recs)
			var broken *brokenError
			// A container that its policy starts again may still make it.
			if errors.As(err, &broken) && !broken.unhealthy && p.willRestart(dep, broken.container) {
				return false, nil
			}
			return ok, err
		})
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return err
		}
		if !d.Required {
			emit(api.Message{Notice: &api.Notice{Level: "warning", Text: fmt.Sprintf("optional dependency %q of %q: %v", dep, s.Name, err)}})
			continue
		}
		return p.explain(dep, s.Name, err)
	}
	return nil
}

func (p *Project) willRestart(service, container string) bool {
	for _, u := range p.ServiceUnits(service) {
		if u.name == container {
			return u.active()
		}
	}
	return false
}

// awaitAgain waits, before a restart, until the conditions hold again. It
// fails only with ctx: a dependency that is broken now may be mended.
func (p *Project) awaitAgain(ctx context.Context, s *compose.Service) error {
	return p.Await(ctx, func() (bool, error) {
		if !p.namespacesThere(s) {
			return false, nil
		}
		for dep, d := range s.DependsOn {
			recs := p.records(dep)
			if len(recs) == 0 || !d.Required {
				continue // started without its dependencies, or they may be absent
			}
			if d.Condition == compose.ConditionStarted {
				// Started once is enough at creation; a restart wants it running.
				running := slices.ContainsFunc(recs, func(r state.Container) bool { return r.State == api.StateRunning })
				if !running && p.restarting(dep) {
					return false, nil
				}
				continue
			}
			if ok, err := holds(d.Condition, recs); !ok || err != nil {
				return false, nil
			}
		}
		return true, nil
	})
}

// namespacesThere reports whether the services whose processes hold the
// namespaces that s joins (ipc and pid) have such a process.
func (p *Project) namespacesThere(s *compose.Service) bool {
	for _, mode := range []string{s.IPC, s.PID} {
		other, joined := strings.CutPrefix(mode, "service:")
		if joined && !p.Runs(other) {
			return false
		}
	}
	return true
}

func (p *Project) restarting(service string) bool {
	return slices.ContainsFunc(p.ServiceUnits(service), func(u *Unit) bool { return u.active() })
}

// lastLines is how many log lines come with a failure.
const lastLines = 10

// explain makes the error of a dependent whose dependency failed, with the
// last probe's output and the last log lines of who is to blame.
func (p *Project) explain(dep, dependent string, err error) error {
	e := &api.Error{Service: dep, Message: err.Error()}
	if dependent != "" {
		e.Message = fmt.Sprintf("dependency failed to start: %v", err)
		e.Hint = fmt.Sprintf("%q waits for it", dependent)
		e.Path = compose.Path("services", dependent, "depends_on", dep)
	}
	var broken *brokenError
	if !errors.As(err, &broken) {
		return e
	}
	for _, u := range p.ServiceUnits(dep) {
		if u.name == broken.container {
			e.Detail = u.Evidence(broken.unhealthy)
		}
	}
	return e
}

// Evidence is what a user needs to see why a container failed: the output of
// its last healthcheck and its last log lines.
func (u *Unit) Evidence(unhealthy bool) []string {
	var out []string
	if unhealthy {
		output, code := u.LastProbe()
		out = append(out, fmt.Sprintf("last healthcheck (exit %d):", code))
		for line := range strings.SplitSeq(output, "\n") {
			out = append(out, "  "+line)
		}
	}
	j := u.Journal()
	if j == nil {
		return out
	}
	last := j.Last(lastLines)
	if len(last) == 0 {
		return out
	}
	out = append(out, fmt.Sprintf("last log lines of %s:", u.name))
	for _, e := range last {
		out = append(out, "  "+lineText(e))
	}
	return out
}

func lineText(e logs.Entry) string { return strings.TrimRight(string(e.Text), "\r\n") }

// AwaitDependencies waits for the conditions of s on those services that have
// containers.
func (p *Project) AwaitDependencies(ctx context.Context, s *compose.Service, emit func(api.Message)) error {
	among := func(service string) bool { return len(p.ServiceUnits(service)) > 0 }
	return p.awaitDependencies(ctx, s, among, emit)
}
