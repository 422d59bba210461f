package engine

import (
	"context"
	"slices"

	"devstack/engine/api"
)

// Volumes lists the volumes of a project, or those that the containers of some
// services have.
func (e *Engine) Volumes(_ context.Context, req api.VolumesRequest, _ func(api.Message)) ([]api.Volume, error) {
	all, err := e.m.Volumes.List()
	if err != nil {
		return nil, err
	}
	var used []string
	if len(req.Services) > 0 {
		for _, u := range e.unitsOf(req.Name, req.Services) {
			used = append(used, u.MountSources()...)
		}
	}
	out := []api.Volume{}
	for _, v := range all {
		if v.Project != req.Name || len(req.Services) > 0 && !slices.Contains(used, v.Name) {
			continue
		}
		out = append(out, api.Volume{Name: v.Name, Driver: v.Driver, Mountpoint: v.Path, Labels: v.Labels, Created: v.Created})
	}
	return out, nil
}
