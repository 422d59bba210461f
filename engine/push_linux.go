package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"devstack/compose"
	"devstack/compose/graph"
	"devstack/engine/api"
	"devstack/engine/image"
	"devstack/engine/image/registry"
	"devstack/engine/image/store"
)

// Push pushes the images of services that are built, with all their tags, and
// images by name. A service that only uses an image is skipped, unless it is
// asked for by name.
func (e *Engine) Push(ctx context.Context, req api.PushRequest, emit func(api.Message)) (api.PushResult, error) {
	wishes, err := pushWishes(req, emit)
	if err != nil {
		return api.PushResult{}, err
	}
	remote, done := e.registryFor(req.Credentials)
	defer done()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var res api.PushResult
	var errs []error
	for _, wish := range wishes {
		wg.Go(func() {
			pushed, err := e.push(ctx, remote, wish.ref, req.IgnoreMissing, emit)
			mu.Lock()
			defer mu.Unlock()
			if req.IgnoreMissing && errors.Is(err, image.ErrNotFound) {
				emit(api.Message{Progress: &api.Progress{ID: "Image " + wish.ref, State: api.Done, Text: "Skipped", Detail: "it is not here"}})
				return
			}
			if err != nil {
				fault := &api.Error{Service: wish.service, Message: err.Error(), Hint: image.Hint(err)}
				if wish.service != "" {
					fault.Path = compose.Path("services", wish.service, "image")
				}
				errs = append(errs, fault)
				return
			}
			res.Pushed = append(res.Pushed, pushed)
		})
	}
	wg.Wait()
	slices.SortFunc(res.Pushed, func(a, b api.PushedImage) int { return strings.Compare(a.Ref, b.Ref) })
	err = errors.Join(errs...)
	if err != nil && req.IgnoreFailures && ctx.Err() == nil {
		emit(api.Message{Notice: &api.Notice{Level: "warning", Text: err.Error()}})
		err = nil
	}
	return res, err
}

// pushWish is a reference to push, and the service it is of.
type pushWish struct{ ref, service string }

func pushWishes(req api.PushRequest, emit func(api.Message)) ([]pushWish, error) {
	var out []pushWish
	add := func(ref, service string) {
		if !slices.ContainsFunc(out, func(w pushWish) bool { return w.ref == ref }) {
			out = append(out, pushWish{ref, service})
		}
	}
	for _, ref := range req.Refs {
		add(ref, "")
	}
	if req.Project == nil {
		return out, nil
	}
	names, err := closureOf(req.Project, req.Services, req.IncludeDeps)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		s := req.Project.Services[name]
		if s.Image == "" || s.Build == nil && !slices.Contains(req.Services, name) {
			emit(api.Message{Progress: &api.Progress{ID: name, State: api.Done, Text: "Skipped"}})
			continue
		}
		add(s.Image, name)
		if s.Build != nil {
			for _, tag := range s.Build.Tags {
				add(tag, name)
			}
		}
	}
	return out, nil
}

// closureOf are the services of a request: all where none is named, and with
// deps what they depend on.
func closureOf(p *compose.Project, services []string, deps bool) ([]string, error) {
	if len(services) == 0 {
		return p.ServiceNames(), nil
	}
	for _, name := range services {
		if _, ok := p.Services[name]; !ok {
			return nil, &api.Error{Message: "no such service: " + name}
		}
	}
	if !deps {
		return services, nil
	}
	g, err := graph.New(p)
	if err != nil {
		return nil, err
	}
	return g.Closure(services), nil
}

// push pushes one reference and reports its progress.
func (e *Engine) push(ctx context.Context, remote *registry.Client, name string, missing bool, emit func(api.Message)) (api.PushedImage, error) {
	id := "Image " + name
	say := func(state, text, detail string) {
		emit(api.Message{Progress: &api.Progress{ID: id, State: state, Text: text, Detail: detail}})
	}
	say(api.Working, "Pushing", "")
	ref, err := image.ParseReference(name)
	var res registry.Result
	if err == nil {
		res, err = remote.Push(ctx, e.images, ref, image.Image{}, func(p store.Progress) {
			if p.Layer == "" {
				return
			}
			state := api.Working
			if p.State == registry.Present || p.State == registry.Mounted || p.State == registry.Pushed {
				state = api.Done
			}
			emit(api.Message{Progress: &api.Progress{
				ID: shortDigest(string(p.Layer)), Parent: id, State: state, Text: pushTexts[p.State], Current: p.Current, Total: p.Total,
			}})
		})
	}
	if err != nil {
		if !missing || !errors.Is(err, image.ErrNotFound) {
			say(api.Failed, "Error", err.Error())
		}
		return api.PushedImage{}, err
	}
	say(api.Done, "Pushed", "")
	if len(res.Missing) > 0 {
		emit(api.Message{Notice: &api.Notice{Level: "warning", Text: name + " was pushed for " +
			strings.Join(res.Platforms, ", ") + " only: the store has no image for " + strings.Join(res.Missing, ", ")}})
	}
	return api.PushedImage{Ref: ref.Familiar(), Digest: string(res.Digest), Size: res.Size, Platforms: res.Platforms}, nil
}

// pushTexts are Docker's words for a layer's states.
var pushTexts = map[string]string{
	registry.Preparing: "Preparing",
	registry.Present:   "Layer already exists",
	registry.Mounted:   "Mounted",
	registry.Pushing:   "Pushing",
	registry.Pushed:    "Pushed",
}
