package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"devstack/compose"
	"devstack/compose/graph"
	"devstack/engine/api"
	"devstack/engine/image/manage"
	"devstack/engine/plan"
	"devstack/engine/supervise"
)

// Down removes a project's containers and networks, and volumes on request.
func (e *Engine) Down(ctx context.Context, req api.DownRequest, emit func(api.Message)) (api.UpResult, error) {
	if len(req.Services) == 0 && !req.DryRun {
		e.unwatch(req.Name)
	}
	p, unlock, err := e.lock(ctx, req.Name)
	if err != nil {
		return api.UpResult{}, err
	}
	defer unlock()
	defer func() { e.warn(e.forgetUnused(p)) }()
	declared := e.declaration(p, req.Project)
	r := plan.Removal{
		Project: declared, Services: req.Services, Volumes: req.Volumes,
		// Without a file there is nothing that an orphan could differ from.
		RemoveOrphans: req.RemoveOrphans || req.Project == nil,
	}
	if len(req.Services) == 0 {
		r.Services = nil
	}
	for _, name := range req.Services {
		if _, ok := declared.Services[name]; !ok && len(p.ServiceUnits(name)) == 0 {
			return api.UpResult{}, &api.Error{Message: "no such service: " + name}
		}
	}
	r.Dependents = dependents(declared)
	if req.Volumes {
		r.AnyVolumes, err = e.projectVolumes(p, declared)
		if err != nil {
			return api.UpResult{}, err
		}
	}
	observed := e.observe(p)
	observed.Networks = e.projectNetworks(p.Name)
	pl := plan.Down(r, observed)
	if req.DryRun {
		return api.UpResult{Plan: pl.String()}, nil
	}
	images := imageRefs(p, declared, req.Images)
	if r.Services == nil {
		// One-off containers go with their project.
		if err := e.removeOneOffs(ctx, p, &req, emit); err != nil {
			return api.UpResult{}, err
		}
	}
	if !pl.Changes() && len(images) == 0 {
		emit(api.Message{Notice: &api.Notice{Level: "warning", Text: fmt.Sprintf("No resource found to remove for project %q.", p.Name)}})
	}
	x := supervise.Execution{Project: p, Timeout: req.Timeout, DropVolumes: req.Volumes, Emit: emit}
	if err := x.Run(ctx, pl); err != nil {
		return api.UpResult{}, err
	}
	e.removeImages(ctx, images, emit)
	if r.Services == nil && p.Empty() {
		e.m.Network.ForgetKeys(p.Name)
		return api.UpResult{}, e.forget(p)
	}
	return api.UpResult{}, nil
}

// declaration is what the request says, else what is on record.
func (e *Engine) declaration(p *supervise.Project, asked *compose.Project) *compose.Project {
	if asked != nil {
		supervise.NameServices(asked)
		return asked
	}
	declared, _ := p.Declared()
	return declared
}

// dependents inverts the graph; a declaration whose graph is broken has none.
func dependents(p *compose.Project) map[string][]string {
	out := map[string][]string{}
	g, err := graph.New(p)
	if err != nil {
		return out
	}
	for name := range p.Services {
		for _, edge := range g.Dependents(name) {
			out[name] = append(out[name], edge.From)
		}
		slices.Sort(out[name])
	}
	return out
}

// projectNetworks are the networks that the project owns.
func (e *Engine) projectNetworks(project string) map[string]string {
	out := map[string]string{}
	for _, n := range e.m.Network.List() {
		if n.Project == project {
			out[n.Name] = ""
		}
	}
	return out
}

// projectVolumes are the real names of the project's volumes; external ones
// are somebody else's.
func (e *Engine) projectVolumes(p *supervise.Project, declared *compose.Project) ([]string, error) {
	vols, err := e.m.Volumes.List()
	if err != nil {
		return nil, err
	}
	external := map[string]bool{}
	for _, v := range declared.Volumes {
		external[v.Name] = v.External
	}
	held := map[string]bool{} // goes with its container
	for _, u := range p.Units() {
		for _, name := range u.Record().Anonymous {
			held[name] = true
		}
	}
	var out []string
	for _, v := range vols {
		if v.Project == p.Name && !external[v.Name] && !held[v.Name] {
			out = append(out, v.Name)
		}
	}
	return out, nil
}

func (e *Engine) removeOneOffs(ctx context.Context, p *supervise.Project, req *api.DownRequest, emit func(api.Message)) error {
	for _, u := range p.Units() {
		if !u.OneOff() {
			continue
		}
		id := "Container " + u.Name()
		emit(api.Message{Progress: &api.Progress{ID: id, State: api.Working, Text: "Removing"}})
		if err := u.Remove(ctx, req.Timeout, true); err != nil {
			return err
		}
		emit(api.Message{Progress: &api.Progress{ID: id, State: api.Done, Text: "Removed"}})
	}
	return nil
}

// imageRefs are the images that --rmi asks to remove: all that the services
// use, or those without a name of the user's own.
func imageRefs(p *supervise.Project, declared *compose.Project, mode string) []string {
	if mode == "" {
		return nil
	}
	var out []string
	for name, s := range declared.Services {
		ref := compose.ImageName(p.Name, name, &s)
		if mode == "local" && ref != p.Name+"-"+name {
			continue
		}
		if !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	slices.Sort(out)
	return out
}

// removeImages removes what can be removed; an image in use stays.
func (e *Engine) removeImages(ctx context.Context, refs []string, emit func(api.Message)) {
	used := map[string]bool{}
	for _, p := range e.all() {
		for _, u := range p.Units() {
			used[u.Record().Image.Ref] = true
		}
	}
	removed := false
	for _, ref := range refs {
		if strings.HasPrefix(ref, "rootfs:") {
			continue
		}
		id := "Image " + ref
		name, err := manage.Name(e.images, ref)
		if err == nil && used[name] {
			emit(api.Message{Progress: &api.Progress{ID: id, State: api.Warning, Text: "Resource is still in use"}})
			continue
		}
		if err == nil {
			err = e.images.Remove(ctx, name)
		}
		if err != nil {
			emit(api.Message{Progress: &api.Progress{ID: id, State: api.Warning, Text: "Image not removed", Detail: err.Error()}})
			continue
		}
		removed = true
		emit(api.Message{Progress: &api.Progress{ID: id, State: api.Done, Text: "Removed"}})
		e.m.Events.Publish(api.Event{Time: time.Now(), Type: "image", Action: "delete", ID: ref})
	}
	if !removed {
		return
	}
	use, err := e.inUse()
	if err == nil {
		_, err = manage.Collect(ctx, e.images, use)
	}
	e.warn(err)
}
