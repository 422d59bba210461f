package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/build"
	"devstack/engine/build/source"
	"devstack/engine/image"
	"devstack/engine/image/registry"
	"devstack/engine/image/registry/credentials"
)

// Build builds the images of services.
func (e *Engine) Build(ctx context.Context, req api.BuildRequest, emit func(api.Message)) (api.BuildResult, error) {
	if req.Project == nil {
		return api.BuildResult{}, &api.Error{Message: "no project given"}
	}
	services, err := buildable(&req)
	if err != nil {
		return api.BuildResult{}, err
	}
	b, done, err := e.newBuilds(&req, emit)
	if err != nil {
		return api.BuildResult{}, err
	}
	defer done()
	if req.Check {
		b.readOnly = true
		return b.check(ctx, services)
	}
	built, err := b.all(ctx, services)
	res := api.BuildResult{Images: map[string]api.BuiltImage{}}
	for name, img := range built {
		s := req.Project.Services[name]
		res.Images[name] = api.BuiltImage{Ref: compose.ImageName(req.Project.Name, name, &s), ID: string(img.ID), Digest: string(img.Digest)}
	}
	if err != nil || !req.Push {
		return res, err
	}
	_, err = e.Push(ctx, api.PushRequest{Project: req.Project, Services: services, Credentials: req.Credentials}, emit)
	return res, err
}

// buildable are the services of a request that have a build section.
func buildable(req *api.BuildRequest) ([]string, error) {
	names, err := closureOf(req.Project, req.Services, req.WithDeps)
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return req.Project.Services[name].Build == nil }), err
}

// sourceDateEpoch is the argument that reproducible builds are given times by.
const sourceDateEpoch = "SOURCE_DATE_EPOCH"

// builds is a set of builds of one request; each service is built once, also
// where another one's build needs it.
type builds struct {
	e       *Engine
	builder *build.Builder
	req     *api.BuildRequest
	emit    func(api.Message)
	remote  *registry.Client // with the credentials of the request
	pins    pins
	// readOnly builds nothing, also not for additional contexts.
	readOnly bool
	// single is the only service that was asked for: progress need not name
	// it, and what is given is meant for it.
	single string

	mu   sync.Mutex
	done map[string]func() (image.Image, error)
}

// newBuilds are builds for a request; done gives back what they hold.
func (e *Engine) newBuilds(req *api.BuildRequest, emit func(api.Message)) (_ *builds, done func(), err error) {
	b, err := e.builder()
	if err != nil {
		return nil, nil, err
	}
	remote, hangUp := e.registryFor(req.Credentials)
	end := e.cfg.Effort.begin()
	done = func() { end(); hangUp() }
	return &builds{
		e: e, builder: b, req: req, emit: emit, remote: remote, pins: pinsOf(req.Lock, req.Project),
		done: map[string]func() (image.Image, error){},
	}, done, nil
}

// all builds services in parallel; the error names every one that failed.
func (b *builds) all(ctx context.Context, services []string) (map[string]image.Image, error) {
	if len(services) == 1 {
		b.single = services[0]
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	built := map[string]image.Image{}
	var errs []error
	for _, name := range services {
		wg.Go(func() {
			img, err := b.service(ctx, name)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			built[name] = img
		})
	}
	wg.Wait()
	return built, errors.Join(errs...)
}

// service builds one service, or waits for the build that is under way.
func (b *builds) service(ctx context.Context, name string) (image.Image, error) {
	if err := buildsItself(b.req.Project, name); err != nil { // would wait for itself
		return image.Image{}, err
	}
	b.mu.Lock()
	once := b.done[name]
	if once == nil {
		once = sync.OnceValues(func() (image.Image, error) { return b.build(ctx, name) })
		b.done[name] = once
	}
	b.mu.Unlock()
	return once()
}

// buildsItself says whether the build of a service needs its own image, by
// additional contexts, directly or by way of others.
func buildsItself(p *compose.Project, name string) error {
	fine := map[string]bool{} // what several need is looked at once
	var visit func(name string, trail []string) error
	visit = func(name string, trail []string) error {
		trail = append(slices.Clip(trail), name)
		if slices.Contains(trail[:len(trail)-1], name) {
			return &api.Error{
				Service: name, Message: "its build needs itself: " + strings.Join(trail, " -> "),
				Path: compose.Path("services", name, "build", "additional_contexts"),
			}
		}
		d := p.Services[name].Build
		if d == nil || fine[name] {
			return nil
		}
		for _, key := range slices.Sorted(maps.Keys(d.AdditionalContexts)) {
			if other, ok := strings.CutPrefix(d.AdditionalContexts[key], "service:"); ok {
				if err := visit(other, trail); err != nil {
					return err
				}
			}
		}
		fine[name] = true
		return nil
	}
	return visit(name, nil)
}

func (b *builds) build(ctx context.Context, name string) (image.Image, error) {
	s, ok := b.req.Project.Services[name]
	if !ok || s.Build == nil {
		return image.Image{}, &api.Error{Service: name, Message: "it has no build section"}
	}
	s.Name = name
	id := "Image " + compose.ImageName(b.req.Project.Name, name, &s)
	b.emit(api.Message{Progress: &api.Progress{ID: id, State: api.Working, Text: api.Building}})
	img, err := b.run(ctx, &s, id)
	if err != nil {
		b.emit(api.Message{Progress: &api.Progress{ID: id, State: api.Failed, Text: "Error", Detail: firstLine(err.Error())}})
		return img, buildError(name, err)
	}
	b.emit(api.Message{Progress: &api.Progress{ID: id, State: api.Done, Text: "Built"}})
	b.e.m.Events.Publish(api.Event{Time: time.Now(), Type: "image", Action: "build", ID: string(img.ID), Attributes: map[string]string{"name": id}})
	return img, nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// buildError carries a failing step's log.
func buildError(service string, err error) error {
	var e *api.Error
	if errors.As(err, &e) {
		return err
	}
	out := &api.Error{Service: service, Message: err.Error(), Hint: image.Hint(err), Path: compose.Path("services", service, "build")}
	var step *build.StepError
	if errors.As(err, &step) && len(step.Log) > 0 {
		out.Detail = strings.Split(strings.TrimRight(string(step.Log), "\n"), "\n")
	}
	for _, fault := range faults(err) {
		out.Detail = append(out.Detail, excerptLines(fault.Excerpt())...)
	}
	return out
}

// faults are the places of a Dockerfile that an error is about.
func faults(err error) []*build.Fault {
	var several build.Faults
	if errors.As(err, &several) {
		return several
	}
	var one *build.Fault
	if errors.As(err, &one) {
		return []*build.Fault{one}
	}
	return nil
}

func excerptLines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimRight(text, "\n"), "\n")
}

func (b *builds) run(ctx context.Context, s *compose.Service, id string) (image.Image, error) {
	req, err := b.request(ctx, s)
	if err != nil {
		return image.Image{}, err
	}
	name := ""
	if s.Name != b.single {
		name = s.Name
	}
	return b.builder.Build(ctx, req, func(ev build.Event) { b.progress(id, name, ev) })
}

// progress passes a step's events on. name is the service's, where not it alone
// is built.
func (b *builds) progress(id, name string, ev build.Event) {
	if ev.State == build.Warning {
		text := string(ev.Line)
		if name != "" {
			text = name + ": " + text
		}
		b.emit(api.Message{Notice: &api.Notice{Level: "warning", Text: text, Excerpt: ev.Excerpt, Of: id}})
		return
	}
	p := &api.Progress{ID: ev.Title(name), Parent: id, State: api.Working, Text: "Running"}
	switch ev.State {
	case build.Log:
		p.Detail, p.Log = string(ev.Line), true
	case build.Cached:
		p.State, p.Text = api.Done, "Cached"
	case build.Done:
		p.State, p.Text = api.Done, fmt.Sprintf("Done %.1fs", ev.Took.Seconds())
	case build.Failed:
		p.State, p.Text = api.Failed, "Failed"
	}
	b.emit(api.Message{Progress: p})
}

// request turns a service's build section into a build.Request.
func (b *builds) request(ctx context.Context, s *compose.Service) (build.Request, error) {
	d := s.Build
	req := build.Request{
		Resolve: b.pins.resolve,
		Project: b.req.Project.Name, Dockerfile: d.Dockerfile, Inline: d.DockerfileInline, Target: d.Target,
		Args: maps.Clone(d.Args), Labels: d.Labels, Contexts: map[string]source.Spec{},
		ExtraHosts: d.ExtraHosts, ShmSize: int64(d.ShmSize), Ulimits: d.Ulimits, Network: d.Network,
		Memory: int64(b.req.Memory), Privileged: d.Privileged, Entitlements: d.Entitlements,
		Tags: append([]string{compose.ImageName(b.req.Project.Name, s.Name, s)}, d.Tags...), Platforms: d.Platforms,
		NoCache: d.NoCache || b.req.NoCache, NoCacheFilter: d.NoCacheFilter, Pull: d.Pull || b.req.Pull,
		Registry: b.remote, Environ: b.req.Credentials.Environ,
	}
	if len(req.Platforms) == 0 && s.Platform != "" {
		req.Platforms = []string{s.Platform}
	}
	if req.Args == nil {
		req.Args = compose.Mapping{}
	}
	maps.Copy(req.Args, b.req.Args)
	if err := b.addProxies(req.Args); err != nil {
		return req, err
	}
	if s.Name != b.single {
		// What is given for all need not mean something to each.
		req.OptionalArgs = slices.Collect(maps.Keys(b.req.Args))
	}
	if b.req.Epoch != nil {
		t := time.Unix(*b.req.Epoch, 0)
		req.Epoch = &t
		if _, given := req.Args[sourceDateEpoch]; !given { // for those that declare the ARG
			text := strconv.FormatInt(*b.req.Epoch, 10)
			req.Args[sourceDateEpoch] = &text
		}
	}
	own, err := s.OwnBuild()
	if err != nil {
		return req, err
	}
	req.KeepModes, req.Compression = own.KeepModes, own.Compression
	if req.CacheFrom, err = caches("cache_from", d.CacheFrom, b.req.WorkingDir); err != nil {
		return req, err
	}
	if req.CacheTo, err = caches("cache_to", d.CacheTo, b.req.WorkingDir); err != nil {
		return req, err
	}
	if d.Context != "" {
		if req.Context, err = source.Parse(d.Context, b.req.WorkingDir); err != nil {
			return req, err
		}
		if req.Context.Kind == source.KindStdin {
			req.Context.Path = b.req.Stdin
		}
	}
	req.DockerfileName = dockerfileName(&req, b.req.WorkingDir)
	if err := b.contexts(ctx, &req, s); err != nil {
		return req, err
	}
	if req.SSH, err = b.ssh(d); err != nil {
		return req, err
	}
	for _, ref := range d.Secrets {
		o, ok := b.req.Project.Secrets[ref.Source]
		if !ok {
			return req, fmt.Errorf("secret %s is not declared", ref.Source)
		}
		id := ref.Target
		if id == "" {
			id = ref.Source
		}
		req.Secrets = append(req.Secrets, build.Secret{ID: id, File: o.File, Value: []byte(o.Content)})
	}
	return req, nil
}

// dockerfileName is what messages call the Dockerfile: its path from where the
// project is, so that what they say can be opened.
func dockerfileName(req *build.Request, dir string) string {
	if req.Inline != "" || req.Context.Kind != source.KindDir {
		return ""
	}
	path := dockerfileOf(req.Dockerfile, req.Context.Path)
	rel, err := filepath.Rel(dir, path)
	if err != nil || strings.HasPrefix(rel, "../../..") {
		return path
	}
	return rel
}

// ssh are the agents and keys that a build is given. One without a path is the
// agent of whoever asks for the build.
func (b *builds) ssh(d *compose.Build) ([]build.SSH, error) {
	var out []build.SSH
	for _, key := range append(slices.Clone(d.SSH), b.req.SSH...) {
		path := key.Path
		if path == "" {
			if path = b.getenv("SSH_AUTH_SOCK"); path == "" {
				return nil, fmt.Errorf("ssh %s: SSH_AUTH_SOCK is not set: start an agent, or give a key as %s=PATH", key.ID, key.ID)
			}
		}
		out = append(out, build.SSH{ID: key.ID, Path: path})
	}
	return out, nil
}

// getenv looks into the environment of whoever asks for the build.
func (b *builds) getenv(name string) string {
	return credentials.New(b.req.Credentials.Environ).Getenv(name)
}

// caches reads cache_from or cache_to.
func caches(what string, texts []string, dir string) ([]build.CacheRef, error) {
	var out []build.CacheRef
	for _, text := range texts {
		c, err := build.ParseCache(text, dir)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		out = append(out, c)
	}
	return out, nil
}

// contexts resolves additional_contexts; the image of another service is
// built first.
func (b *builds) contexts(ctx context.Context, req *build.Request, s *compose.Service) error {
	d := s.Build
	for _, name := range slices.Sorted(maps.Keys(d.AdditionalContexts)) {
		spec, err := source.Parse(d.AdditionalContexts[name], b.req.WorkingDir)
		if err != nil {
			return fmt.Errorf("additional context %s: %w", name, err)
		}
		if spec.Kind == source.KindService {
			other := spec.Ref
			if _, ok := b.req.Project.Services[other]; !ok {
				return &api.Error{
					Service: s.Name, Message: "its build needs the image of service " + other + ", which is in no active profile",
					Hint: "name a profile of " + other + " with --profile, or the service itself: `devstack build " + other + " " + s.Name + "`",
					Path: compose.Path("services", s.Name, "build", "additional_contexts", name),
				}
			}
			if !b.readOnly {
				if _, err := b.service(ctx, other); err != nil {
					return err
				}
			}
			o := b.req.Project.Services[other]
			spec = source.Spec{Kind: source.KindImage, Ref: compose.ImageName(b.req.Project.Name, other, &o), Built: true}
		}
		req.Contexts[name] = spec
	}
	return nil
}

// openBuilder opens the builder with the first build: nobody else pays for it.
func (e *Engine) openBuilder() func() (*build.Builder, error) {
	return sync.OnceValues(func() (*build.Builder, error) {
		b, err := build.Open(build.Config{
			Images: e.images, Runtime: e.m.Runtime, Network: e.m.Network,
			DataRoot: e.cfg.Roots.Data, Tag: e.cfg.Roots.Tag(),
		})
		e.opened.Store(b)
		return b, err
	})
}

// closeBuilder removes what outlives builds, such as their network.
func (e *Engine) closeBuilder() error {
	if b := e.opened.Load(); b != nil {
		return b.Close()
	}
	return nil
}
