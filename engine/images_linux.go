package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/image"
	"devstack/engine/image/fetch"
	"devstack/engine/image/registry"
	"devstack/engine/image/store"
	"devstack/engine/plan"
	"devstack/engine/supervise"
)

// imageWish is one image to have, and how hard to look for it.
type imageWish struct{ ref, platform, policy string }

// fetchAll gets images in parallel; the error names every one that failed.
func (e *Engine) fetchAll(ctx context.Context, remote *registry.Client, wanted map[imageWish][]string, emit func(api.Message)) (map[imageWish]image.Image, error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	found := map[imageWish]image.Image{}
	var errs []error
	for wish, services := range wanted {
		wg.Go(func() {
			img, err := e.fetch(ctx, remote, wish, emit)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				service, key, further := strings.Cut(services[0], supervise.ImageKeyMark)
				if !further {
					key = "image"
				}
				errs = append(errs, &api.Error{
					Service: service, Message: err.Error(), Hint: image.Hint(err),
					Path: compose.Path("services", service, key),
				})
				return
			}
			found[wish] = img
		})
	}
	wg.Wait()
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(asAPI(a).Path, asAPI(b).Path) })
	return found, errors.Join(errs...)
}

// fetch gets one image and reports its progress, unless it is at hand.
func (e *Engine) fetch(ctx context.Context, remote *registry.Client, wish imageWish, emit func(api.Message)) (image.Image, error) {
	return e.try(ctx, remote, wish, api.Failed, emit)
}

// try is fetch whose failure shows as the given state.
func (e *Engine) try(ctx context.Context, remote *registry.Client, wish imageWish, failed string, emit func(api.Message)) (image.Image, error) {
	id := "Image " + wish.ref
	var began sync.Once
	end := func() {}
	defer func() { end() }()
	progress := func(p fetch.Progress) {
		began.Do(func() {
			end = e.cfg.Effort.begin()
			emit(api.Message{Progress: &api.Progress{ID: id, State: api.Working, Text: "Pulling"}})
		})
		if p.Layer == "" {
			return
		}
		emit(api.Message{Progress: &api.Progress{ID: shortDigest(string(p.Layer)), Parent: id, State: layerState(p.State), Text: layerTexts[p.State], Current: p.Current, Total: p.Total}})
	}
	img, err := fetch.Ensure(ctx, e.images, wish.ref, fetch.Options{Policy: wish.policy, Platform: wish.platform, Progress: progress, Registry: remote})
	pulled := false
	began.Do(func() { pulled = true })
	switch {
	case err != nil:
		emit(api.Message{Progress: &api.Progress{ID: id, State: failed, Text: failures[failed], Detail: err.Error()}})
	case !pulled:
		emit(api.Message{Progress: &api.Progress{ID: id, State: api.Done, Text: "Pulled"}})
	}
	return img, err
}

// failures are words for the states of what could not be pulled.
var failures = map[string]string{api.Failed: "Error", api.Warning: "Warning"}

// registryFor is the way to registries with a client's environment.
func (e *Engine) registryFor(c api.Credentials) (remote *registry.Client, done func()) {
	if len(c.Environ) == 0 {
		return e.remote, func() {}
	}
	remote = registry.New(registry.Options{Environ: c.Environ})
	return remote, remote.Close
}

// shortDigest is a layer as users know it: twelve digits.
func shortDigest(d string) string {
	if _, hex, ok := strings.Cut(d, ":"); ok && len(hex) > 12 {
		return hex[:12]
	}
	return d
}

// layerTexts are Docker's words for a layer's states.
var layerTexts = map[string]string{
	store.Resolving:   "Waiting",
	store.Exists:      "Already exists",
	store.Downloading: "Downloading",
	store.Unpacking:   "Extracting",
	store.Done:        "Pull complete",
}

func layerState(s string) string {
	if s == store.Exists || s == store.Done {
		return api.Done
	}
	return api.Working
}

// fileHash covers the contents that a service gets from configs and secrets.
func fileHash(p *compose.Project, s *compose.Service) string {
	var objects []compose.FileObject
	for _, ref := range s.Configs {
		objects = append(objects, p.Configs[ref.Source])
	}
	for _, ref := range s.Secrets {
		objects = append(objects, p.Secrets[ref.Source])
	}
	if objects == nil {
		return ""
	}
	return "-" + plan.Hash(objects)[:16]
}
