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
	"devstack/engine/image/registry"
	"devstack/engine/plan"
	"devstack/engine/supervise"
)

// Values of pull_policy that are decided here; the others say how old what the
// store has may be, see fetch.Options.
const (
	policyAlways  = "always"
	policyNever   = "never"
	policyMissing = "missing"
	policyBuild   = "build"
)

// pullPolicy decides between --pull, --build and the service's pull_policy.
func pullPolicy(flag string, build bool, s *compose.Service) string {
	policy := s.PullPolicy
	if flag != "" && flag != "policy" {
		policy = flag
	}
	switch {
	case build && s.Build != nil:
		return policyBuild
	case policy == "", policy == "if_not_present":
		return policyMissing
	case policy == "refresh" && s.PullRefreshAfter != "":
		return "every_" + s.PullRefreshAfter
	case policy == "refresh":
		return policyAlways
	case policy == policyBuild && s.Build == nil:
		return policyNever // there is nothing to build it from
	}
	return policy
}

// resolveImages makes the images of the selected services present, each once,
// and computes the services' hashes.
func (u *up) resolveImages(ctx context.Context) error {
	u.images, u.hashes = map[string]image.Image{}, map[string]string{}
	n := needs{u: u, pins: pinsOf(u.req.Lock, u.req.Project), built: image.Built(u.req.Project), wanted: map[imageWish][]string{}, builds: map[string][]string{}}
	for _, name := range u.selected {
		s := u.req.Project.Services[name]
		u.hashes[name] = plan.ServiceHash(s) + fileHash(u.req.Project, &s)
		if s.Provider != nil {
			continue
		}
		if err := n.ofService(name, &s); err != nil {
			return err
		}
	}
	remote, done := u.e.registryFor(u.req.Credentials)
	defer done()
	found, err := u.e.fetchAll(ctx, remote, n.wanted, u.emit)
	for wish, img := range found {
		for _, key := range n.wanted[wish] {
			u.images[key] = img
		}
	}
	built, buildErr := u.builtImages(ctx, remote, slices.Sorted(maps.Keys(n.builds)))
	for by, img := range built {
		for _, key := range n.builds[by] {
			u.images[key] = img
		}
	}
	return errors.Join(err, buildErr)
}

// needs are the images of services, by the keys that they have in up.images.
type needs struct {
	u      *up
	pins   pins
	built  map[string]string // see image.Built
	wanted map[imageWish][]string
	builds map[string][]string // service that is built -> who needs its image
}

// ofService adds a service's own image, and those of its init containers and
// mounts.
func (n *needs) ofService(name string, s *compose.Service) error {
	for i, init := range s.PreStart {
		if init.Image == "" {
			continue
		}
		if err := n.add(s, init.Image, init.Platform, supervise.InitImageKey(name, i), "pre_start"); err != nil {
			return err
		}
	}
	for i, m := range s.Volumes {
		if m.Type != compose.MountImage {
			continue
		}
		if err := n.add(s, m.Source, s.Platform, supervise.MountImageKey(name, i), "volumes"); err != nil {
			return err
		}
	}
	switch {
	case s.Build != nil:
		n.builds[name] = append(n.builds[name], name)
		return nil
	case s.Image == "":
		return &api.Error{Service: name, Message: "it names neither an image nor a build", Path: compose.Path("services", name)}
	}
	return n.add(s, s.Image, s.Platform, name, "image")
}

// add notes that key is a reference's image: one that the project builds, or
// one to fetch.
func (n *needs) add(s *compose.Service, ref, platform, key, where string) error {
	if r, err := image.ParseReference(ref); err == nil {
		if by := n.built[r.String()]; by != "" {
			n.builds[by] = append(n.builds[by], key)
			return nil
		}
	}
	ref, err := n.pins.resolve(image.Beside(ref, n.u.req.Meta.WorkingDir))
	if err != nil {
		return &api.Error{Service: s.Name, Message: err.Error(), Hint: image.Hint(err), Path: compose.Path("services", s.Name, where)}
	}
	wish := imageWish{ref: ref, platform: platform, policy: pullPolicy(n.u.req.Pull, n.u.req.Build, s)}
	n.wanted[wish] = append(n.wanted[wish], key)
	return nil
}

// builtImages are the images of services with a build section: those that are
// there, or that a registry has, or else built anew.
func (u *up) builtImages(ctx context.Context, remote *registry.Client, services []string) (map[string]image.Image, error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var missing []string
	var errs []error
	have := map[string]image.Image{}
	for _, name := range services {
		wg.Go(func() {
			img, err := u.withoutBuild(ctx, remote, name)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				have[name] = img
			case errors.Is(err, image.ErrNotFound):
				missing = append(missing, name)
			default:
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	slices.Sort(missing)
	if len(errs) > 0 || len(missing) == 0 {
		return have, errors.Join(errs...)
	}
	if u.req.NoBuild {
		for _, name := range missing {
			s := u.req.Project.Services[name]
			errs = append(errs, &api.Error{
				Service: name, Message: fmt.Sprintf("image %s is not there, and --no-build forbids to build it", compose.ImageName(u.req.Project.Name, name, &s)),
				Path: compose.Path("services", name, "build"),
			})
		}
		return have, errors.Join(errs...)
	}
	if u.req.DryRun {
		for _, name := range missing {
			u.notice("info", "the image of "+name+" would be built")
		}
		return have, nil
	}
	b, done, err := u.e.newBuilds(&api.BuildRequest{
		Project: u.req.Project, Credentials: u.req.Credentials, WorkingDir: u.req.Meta.WorkingDir, Lock: u.req.Lock,
	}, u.emit)
	if err != nil {
		return have, err
	}
	defer done()
	built, err := b.all(ctx, missing)
	maps.Copy(have, built)
	return have, err
}

// withoutBuild looks for the image of a service that could be built: in the
// store, and by its own name in a registry. It is image.ErrNotFound where the
// image has to be built.
func (u *up) withoutBuild(ctx context.Context, remote *registry.Client, name string) (image.Image, error) {
	s := u.req.Project.Services[name]
	policy, ref := pullPolicy(u.req.Pull, u.req.Build, &s), compose.ImageName(u.req.Project.Name, name, &s)
	if policy == policyBuild && !u.req.NoBuild {
		return image.Image{}, image.ErrNotFound
	}
	local, err := u.e.images.Lookup(ctx, ref)
	if err != nil && !errors.Is(err, image.ErrNotFound) {
		return image.Image{}, err
	}
	if s.Image == "" || policy == policyNever || policy == policyBuild || err == nil && policy == policyMissing {
		return local, err
	}
	img, failed := u.e.try(ctx, remote, imageWish{ref: ref, platform: s.Platform, policy: policy}, api.Warning, u.emit)
	switch {
	case failed == nil:
		return img, nil
	case ctx.Err() != nil:
		return image.Image{}, failed
	}
	return local, err // it may be nowhere but here
}

// Pull gets the images of services, as their pull_policy or the request's
// says.
func (e *Engine) Pull(ctx context.Context, req api.PullRequest, emit func(api.Message)) (struct{}, error) {
	services, err := closureOf(req.Project, req.Services, req.IncludeDeps)
	if err != nil {
		return struct{}{}, err
	}
	remote, done := e.registryFor(req.Credentials)
	defer done()
	wanted, pins := map[imageWish][]string{}, pinsOf(req.Lock, req.Project)
	for _, name := range services {
		s := req.Project.Services[name]
		ref, err := s.Image, error(nil)
		if ref != "" {
			ref, err = pins.resolve(image.Beside(ref, req.WorkingDir))
		}
		if err != nil {
			return struct{}{}, &api.Error{Service: name, Message: err.Error(), Hint: image.Hint(err), Path: compose.Path("services", name, "image")}
		}
		if why := e.notPulled(ctx, &s, ref, req); why != "" {
			emit(api.Message{Progress: &api.Progress{ID: name, State: api.Done, Text: "Skipped - " + why}})
			continue
		}
		wish := imageWish{ref: ref, platform: s.Platform, policy: policyAlways}
		wanted[wish] = append(wanted[wish], name)
	}
	_, err = e.fetchAll(ctx, remote, wanted, emit)
	if err == nil || ctx.Err() != nil {
		return struct{}{}, err
	}
	if own := builtAmong(err, req.Project); len(own) > 0 {
		emit(api.Message{Notice: &api.Notice{
			Level: "warning", Text: "Some service image(s) must be built from source by running: devstack build " + strings.Join(own, " "),
		}})
	}
	if req.IgnoreFailures {
		for _, one := range flatten(err) {
			emit(api.Message{Notice: &api.Notice{Level: "warning", Text: one.Error()}})
		}
		return struct{}{}, nil
	}
	return struct{}{}, err
}

// notPulled says why pull leaves a service alone, or "".
func (e *Engine) notPulled(ctx context.Context, s *compose.Service, ref string, req api.PullRequest) string {
	policy := s.PullPolicy
	if req.Policy != "" {
		policy = req.Policy
	}
	switch {
	case s.Image == "":
		return "No image to be pulled"
	case policy == policyNever, policy == policyBuild:
		return "pull_policy is " + policy
	case s.Build != nil && req.IgnoreBuildable:
		return "Image can be built"
	case policy == policyMissing, policy == "if_not_present":
		if _, err := e.images.Lookup(ctx, ref); err == nil {
			return "Image is already present locally"
		}
	}
	return ""
}

// builtAmong are the services of failures that have a build section.
func builtAmong(err error, p *compose.Project) []string {
	var out []string
	for _, one := range flatten(err) {
		if name := asAPI(one).Service; p.Services[name].Build != nil {
			out = append(out, name)
		}
	}
	return out
}
