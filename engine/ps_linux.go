package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/spec"
	"devstack/engine/supervise"
)

// Ps lists containers.
func (e *Engine) Ps(_ context.Context, req api.PsRequest, _ func(api.Message)) ([]api.Container, error) {
	out := []api.Container{}
	projects := e.all()
	if req.Name != "" {
		projects = slices.DeleteFunc(projects, func(p *supervise.Project) bool { return p.Name != req.Name })
	}
	for _, p := range projects {
		for _, u := range p.Units() {
			if len(req.Services) > 0 && !slices.Contains(req.Services, u.Service()) {
				continue
			}
			if u.OneOff() && !req.All {
				continue
			}
			c := describe(u)
			c.Watched = !c.OneOff && e.watched(p.Name, u.Service())
			if req.All || c.State == api.StateRunning || c.State == api.StateRestarting || c.State == api.StatePaused {
				out = append(out, c)
			}
		}
	}
	return out, nil
}

// describe is a unit as clients see it.
func describe(u *supervise.Unit) api.Container {
	rec := u.Record()
	s := rec.Declared
	c := api.Container{
		ID: rec.ID, Name: rec.Name, Project: rec.Project, Service: rec.Service, Number: rec.Number,
		Generation: rec.Generation, OneOff: rec.OneOff, Image: compose.ImageName(rec.Project, rec.Service, &s), ImageDigest: string(rec.Image.ID),
		Command: spec.Args(&s, rec.Image.Config.Entrypoint, rec.Image.Config.Cmd),
		State:   rec.State, Health: rec.Health, ExitCode: rec.ExitCode, OOMKilled: rec.OOMKilled,
		Error: rec.Error, PID: rec.PID, Restarts: rec.Restarts,
		Created: rec.Created, Started: rec.Started, Finished: rec.Finished,
		Labels: u.Labels(), ConfigHash: rec.ConfigHash, Mounts: u.MountSources(),
	}
	if rec.State == api.StateRunning || rec.State == api.StatePaused || rec.State == api.StateRestarting {
		c.Ports = ports(rec.Published, s.Expose, exposed(rec.Image.Config.ExposedPorts))
	}
	for _, ep := range rec.Endpoints {
		c.Networks = append(c.Networks, api.Endpoint{Network: ep.Network, IPv4: ep.IPv4, IPv6: ep.IPv6, MAC: ep.MAC, Aliases: ep.Names})
	}
	return c
}

func exposed(set map[string]struct{}) []string {
	var out []string
	for p := range set {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// ports are the published ports and those that are only exposed.
func ports(published []api.Port, lists ...[]string) []api.Port {
	out := slices.Clone(published)
	for _, list := range lists {
		for _, text := range list {
			number, proto, ok := strings.Cut(text, "/")
			if !ok {
				proto = "tcp"
			}
			var n uint16
			if _, err := fmt.Sscan(number, &n); err != nil {
				continue // a range: too many to list
			}
			known := slices.ContainsFunc(out, func(p api.Port) bool { return p.ContainerPort == n && p.Protocol == proto })
			if !known {
				out = append(out, api.Port{ContainerPort: n, Protocol: proto})
			}
		}
	}
	return out
}

// Ls lists the projects.
func (e *Engine) Ls(context.Context, struct{}, func(api.Message)) ([]api.LsResult, error) {
	out := []api.LsResult{}
	for _, p := range e.all() {
		_, meta := p.Declared()
		r := api.LsResult{Name: p.Name, Status: map[string]int{}, ConfigFiles: meta.ConfigFiles}
		for _, u := range p.Units() {
			if !u.OneOff() {
				r.Status[u.Record().State]++
			}
		}
		if len(r.Status) > 0 {
			out = append(out, r)
		}
	}
	return out, nil
}

// Wait waits for containers to exit.
func (e *Engine) Wait(ctx context.Context, req api.WaitRequest, _ func(api.Message)) (api.WaitResult, error) {
	p := e.known(req.Name)
	if p == nil {
		return api.WaitResult{}, &api.Error{Message: fmt.Sprintf("no containers for project %q", req.Name)}
	}
	var waiting []*supervise.Unit
	for _, u := range p.Units() {
		if !u.OneOff() && (len(req.Services) == 0 || slices.Contains(req.Services, u.Service())) {
			waiting = append(waiting, u)
		}
	}
	if len(waiting) == 0 {
		return api.WaitResult{}, &api.Error{Message: fmt.Sprintf("no containers for project %q", req.Name)}
	}
	var res api.WaitResult
	err := p.Await(ctx, func() (bool, error) {
		waiting = slices.DeleteFunc(waiting, func(u *supervise.Unit) bool {
			rec := u.Record()
			if rec.State != api.StateExited && rec.State != api.StateRemoving {
				return false
			}
			res.Exits = append(res.Exits, api.Exit{ID: rec.ID, Container: rec.Name, Service: rec.Service, Code: rec.ExitCode})
			return true
		})
		return len(waiting) == 0 || req.Any && len(res.Exits) > 0, nil
	})
	return res, err
}
