package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
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

// resolveImages makes the images of the selected services present, each once,
// and computes the services' hashes.
func (u *up) resolveImages(ctx context.Context) error {
	u.images, u.hashes = map[string]image.Image{}, map[string]string{}
	wanted := map[imageWish][]string{}
	pins := pinsOf(u.req.Lock, u.req.Project)
	var toBuild []string
	for _, name := range u.selected {
		s := u.req.Project.Services[name]
		u.hashes[name] = plan.ServiceHash(s) + fileHash(u.req.Project, &s)
		if s.Provider != nil {
			continue
		}
		u.furtherImages(&s, wanted)
		if s.Build != nil {
			toBuild = append(toBuild, name)
			continue
		}
		if s.Image == "" {
			return &api.Error{Service: name, Message: "it names neither an image nor a build", Path: compose.Path("services", name)}
		}
		ref, err := pins.resolve(image.Beside(s.Image, u.req.Meta.WorkingDir))
		if err != nil {
			return &api.Error{Service: name, Message: err.Error(), Hint: image.Hint(err), Path: compose.Path("services", name, "image")}
		}
		wish := imageWish{ref: ref, platform: s.Platform, policy: pullPolicy(u.req.Pull, s.PullPolicy)}
		wanted[wish] = append(wanted[wish], name)
	}
	remote, done := u.e.registryFor(u.req.Credentials)
	defer done()
	found, err := u.e.fetchAll(ctx, remote, wanted, u.emit)
	for wish, img := range found {
		for _, name := range wanted[wish] {
			u.images[name] = img
		}
	}
	return errors.Join(err, u.buildImages(ctx, toBuild))
}

// furtherImages adds the images that a service needs besides its own: those of
// its init containers and of its mounts.
func (u *up) furtherImages(s *compose.Service, wanted map[imageWish][]string) {
	add := func(ref, platform, key string) {
		wish := imageWish{ref: image.Beside(ref, u.req.Meta.WorkingDir), platform: platform, policy: pullPolicy(u.req.Pull, s.PullPolicy)}
		wanted[wish] = append(wanted[wish], key)
	}
	for i, init := range s.PreStart {
		if init.Image != "" && (init.Image != s.Image || s.Build == nil) {
			add(init.Image, init.Platform, supervise.InitImageKey(s.Name, i))
		}
	}
	for i, m := range s.Volumes {
		if m.Type == compose.MountImage {
			add(m.Source, s.Platform, supervise.MountImageKey(s.Name, i))
		}
	}
}

// buildImages gives services with a build section their images: the one that
// is there, unless it is to be built anew.
func (u *up) buildImages(ctx context.Context, services []string) error {
	var missing []string
	for _, name := range services {
		s := u.req.Project.Services[name]
		ref := imageName(u.req.Project.Name, name, &s)
		img, err := u.e.images.Lookup(ctx, ref)
		switch fresh := (u.req.Build || s.PullPolicy == "build") && !u.req.NoBuild; {
		case err == nil && !fresh:
			u.images[name] = img
		case err != nil && !errors.Is(err, image.ErrNotFound):
			return err
		case u.req.NoBuild:
			return &api.Error{
				Service: name, Message: fmt.Sprintf("image %s is not there, and --no-build forbids to build it", ref),
				Path: compose.Path("services", name, "build"),
			}
		default:
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if u.req.DryRun {
		for _, name := range missing {
			u.notice("info", "the image of "+name+" would be built")
		}
		return nil
	}
	b, done, err := u.e.newBuilds(&api.BuildRequest{
		Project: u.req.Project, Credentials: u.req.Credentials, WorkingDir: u.req.Meta.WorkingDir, Lock: u.req.Lock,
	}, u.emit)
	if err != nil {
		return err
	}
	defer done()
	built, err := b.all(ctx, missing)
	maps.Copy(u.images, built)
	return err
}

// imageWish is one image to have, and how hard to look for it.
type imageWish struct{ ref, platform, policy string }

// pullPolicy decides between --pull and the service's pull_policy.
func pullPolicy(flag, service string) string {
	policy := service
	if flag != "" && flag != "policy" {
		policy = flag
	}
	switch {
	case policy == "always", policy == "never":
		return policy
	case policy == "daily", policy == "weekly", strings.HasPrefix(policy, "every_"):
		return policy
	}
	return "missing"
}

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
	id := "Image " + wish.ref
	var began sync.Once
	progress := func(p fetch.Progress) {
		began.Do(func() {
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
		emit(api.Message{Progress: &api.Progress{ID: id, State: api.Failed, Text: "Error", Detail: err.Error()}})
	case !pulled:
		emit(api.Message{Progress: &api.Progress{ID: id, State: api.Done, Text: "Pulled"}})
	}
	return img, err
}

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

// Pull gets the images of services.
func (e *Engine) Pull(ctx context.Context, req api.PullRequest, emit func(api.Message)) (struct{}, error) {
	services := req.Services
	if len(services) == 0 {
		services = req.Project.ServiceNames()
	}
	wanted, pins := map[imageWish][]string{}, pinsOf(req.Lock, req.Project)
	for _, name := range services {
		s, ok := req.Project.Services[name]
		if !ok {
			return struct{}{}, &api.Error{Message: "no such service: " + name}
		}
		if s.Image == "" {
			continue
		}
		policy := req.Policy
		if policy == "" {
			policy = "always"
		}
		ref, err := pins.resolve(s.Image)
		if err != nil {
			return struct{}{}, &api.Error{Service: name, Message: err.Error(), Hint: image.Hint(err), Path: compose.Path("services", name, "image")}
		}
		wish := imageWish{ref: ref, platform: s.Platform, policy: policy}
		wanted[wish] = append(wanted[wish], name)
	}
	remote, done := e.registryFor(req.Credentials)
	defer done()
	_, err := e.fetchAll(ctx, remote, wanted, emit)
	if err != nil && req.IgnoreFailures {
		emit(api.Message{Notice: &api.Notice{Level: "warning", Text: err.Error()}})
		return struct{}{}, nil
	}
	return struct{}{}, err
}
