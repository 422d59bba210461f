package main

import (
	"context"
	"slices"

	"devstack/compose"
	"devstack/engine/api"
)

// rehearsal is what a verb would do to each container that it is about.
type rehearsal struct {
	about       func(state string) bool // which containers it does something to
	doing, done string                  // in the words of its progress
}

func rehearsals() map[string]rehearsal {
	is := func(states ...string) func(string) bool {
		return func(state string) bool { return slices.Contains(states, state) }
	}
	return map[string]rehearsal{
		"start":   {is(api.StateCreated, api.StateExited), "Starting", "Started"},
		"stop":    {alive, "Stopping", "Stopped"},
		"restart": {func(string) bool { return true }, "Restarting", "Started"},
		"kill":    {alive, "Killing", "Killed"},
		"pause":   {is(api.StateRunning), "Pausing", "Paused"},
		"unpause": {is(api.StatePaused), "Unpausing", "Unpaused"},
	}
}

// rehearse says what a verb on services would do: --dry-run.
func (e *env) rehearse(ctx context.Context, title string, req api.ServiceRequest) error {
	r := rehearsals()[title]
	containers, err := e.containers(ctx, api.PsRequest{Name: req.Name, Services: req.Services, All: true})
	if err != nil {
		return err
	}
	var ids []string
	for _, c := range containers {
		if !c.OneOff && r.about(c.State) {
			ids = append(ids, "Container "+c.Name)
		}
	}
	return e.pretend(title, ids, r.doing, r.done)
}

// rehearseImages says which images a verb would handle.
func (e *env) rehearseImages(p *compose.Project, title string, services []string, with func(compose.Service) bool, doing, done string) error {
	if len(services) == 0 {
		services = p.ServiceNames()
	}
	var ids []string
	for _, name := range services {
		s := p.Services[name]
		if id := "Image " + compose.ImageName(p.Name, name, &s); with(s) && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return e.pretend(title, ids, doing, done)
}

// pretend shows the progress of what does not happen.
func (e *env) pretend(title string, ids []string, doing, done string) error {
	return e.progress(title, func(emit func(api.Message)) error {
		for _, id := range ids {
			emit(api.Message{Progress: &api.Progress{ID: id, State: api.Working, Text: doing}})
			emit(api.Message{Progress: &api.Progress{ID: id, State: api.Done, Text: done}})
		}
		return nil
	})
}
