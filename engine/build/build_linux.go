package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/build/dockerfile"
	"devstack/engine/build/solve"
	"devstack/engine/build/source"
	"devstack/engine/build/step"
	"devstack/engine/container"
	"devstack/engine/image"
	"devstack/engine/image/commit"
	"devstack/engine/image/store"
	"devstack/network"
)

// Config is what a Builder works with; all of it is required.
type Config struct {
	Images   *store.Store
	Runtime  *container.Runtime
	Network  *network.Stack
	DataRoot string
	Tag      string // of the engine: six hex digits
}

// NetworkName is the network of builds. One that is there when an engine
// begins was left by an engine before it.
const NetworkName = step.NetworkName

// Builder builds images, several at once.
type Builder struct {
	cfg    Config
	solver *solve.Solver
}

// Open prepares DATA/builds and clears away what an engine before this one
// left half done.
func Open(cfg Config) (*Builder, error) {
	dir := filepath.Join(cfg.DataRoot, "builds")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open builder: %w", err)
	}
	s, err := solve.Open(solve.Config{
		Images: cfg.Images, Dir: dir,
		Exec: &step.Executor{
			Runtime: cfg.Runtime, Network: step.NewNetwork(cfg.Network), Cgroup: "/devstack-" + cfg.Tag + "/build",
		},
	})
	if err != nil {
		return nil, fmt.Errorf("open builder: %w", err)
	}
	return &Builder{cfg: cfg, solver: s}, nil
}

// Close waits for what goes on in the background. Builds must have ended.
func (b *Builder) Close() error { return b.solver.Close() }

// Build builds an image and names it by its tags. emit may be nil; it is
// called by one goroutine at a time. Of several platforms all are built, named
// together, and the one for this machine (else the first) is returned.
func (b *Builder) Build(ctx context.Context, req Request, emit func(Event)) (image.Image, error) {
	emit = oneAtATime(emit)
	platforms, err := platformsOf(req.Platforms)
	if err != nil {
		return image.Image{}, err
	}
	if err := checkTags(req.Tags); err != nil {
		return image.Image{}, err
	}
	end, err := b.cfg.Images.Begin(ctx)
	if err != nil {
		return image.Image{}, err
	}
	defer end()
	c := &caching{images: b.cfg.Images, req: &req, emit: emit}
	defer c.close()
	img, err := b.build(ctx, req, platforms, c, emit)
	if err != nil {
		return image.Image{}, err
	}
	return img, c.export(ctx)
}

// checkTags finds a name that an image cannot have before the first step runs.
func checkTags(tags []string) error {
	for _, t := range tags {
		r, err := image.ParseReference(t)
		switch {
		case err != nil:
			return err
		case r.Transport != image.Docker:
			return fmt.Errorf("%q is no name for an image that is built (want [registry/]name[:tag])", t)
		case r.Digest != "":
			return fmt.Errorf("image reference %q: an image that is built cannot be named by a digest", t)
		}
	}
	return nil
}

func oneAtATime(emit func(Event)) func(Event) {
	if emit == nil {
		return func(Event) {}
	}
	var mu sync.Mutex
	return func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		emit(e)
	}
}

func (b *Builder) build(ctx context.Context, req Request, platforms []ocispec.Platform, c *caching, emit func(Event)) (image.Image, error) {
	if len(platforms) == 1 {
		return b.buildOne(ctx, req, platforms[0], req.Tags, c, emit)
	}
	var images []image.Image
	warned := map[string]bool{}
	for _, p := range platforms {
		name := image.FormatPlatform(p)
		img, err := b.buildOne(ctx, req, p, nil, c, func(e Event) {
			if e.State == Warning {
				if warned[string(e.Line)] { // of the one Dockerfile
					return
				}
				warned[string(e.Line)] = true
			}
			e.Stage = strings.TrimSpace(name + " " + e.Stage)
			emit(e)
		})
		if err != nil {
			return image.Image{}, fmt.Errorf("platform %s: %w", name, err)
		}
		images = append(images, img)
	}
	if len(req.Tags) > 0 {
		if _, err := commit.Index(ctx, b.cfg.Images, images, req.Tags, nil); err != nil {
			return image.Image{}, err
		}
		return b.cfg.Images.Lookup(ctx, req.Tags[0])
	}
	host := image.FormatPlatform(image.HostPlatform())
	if i := slices.IndexFunc(images, func(i image.Image) bool { return i.Platform == host }); i >= 0 {
		return images[i], nil
	}
	return images[0], nil
}

func platformsOf(texts []string) ([]ocispec.Platform, error) {
	if len(texts) == 0 {
		texts = []string{""}
	}
	var out []ocispec.Platform
	for _, t := range texts {
		p, err := image.ParsePlatform(t)
		if err != nil {
			return nil, err
		}
		if p.OS != "linux" {
			return nil, fmt.Errorf("platform %s cannot be built: only linux can", image.FormatPlatform(p))
		}
		if !slices.ContainsFunc(out, func(o ocispec.Platform) bool { return image.FormatPlatform(o) == image.FormatPlatform(p) }) {
			out = append(out, p)
		}
	}
	return out, nil
}

// rereads is how often a build begins again because files of a context changed
// while it read them.
const rereads = 3

func (b *Builder) buildOne(ctx context.Context, req Request, platform ocispec.Platform, tags []string, c *caching, emit func(Event)) (image.Image, error) {
	for n := 1; ; n++ {
		img, err := b.attempt(ctx, req, platform, tags, c, emit)
		var changed *source.ChangedError
		if !errors.As(err, &changed) || n == rereads || req.Context.Kind == source.KindStdin || ctx.Err() != nil {
			return img, err
		}
		emit(Event{State: Warning, Name: "ContextChanged", Line: []byte(changed.Error() + ": the build begins again")})
	}
}

func (b *Builder) attempt(ctx context.Context, req Request, platform ocispec.Platform, tags []string, c *caching, emit func(Event)) (image.Image, error) {
	agents, err := agentsOf(ctx, req.SSH, b.solver.Sources())
	if err != nil {
		return image.Image{}, err
	}
	solving := false
	defer func() {
		if !solving { // else they end with the last step that another build shares
			agents.end()
		}
	}()
	if socket := agents.sockets["default"]; socket != "" { // for git, too
		if req.Environ == nil {
			req.Environ = os.Environ()
		}
		req.Environ = append(slices.Clip(req.Environ), "SSH_AUTH_SOCK="+socket)
	}
	o, err := b.open(ctx, &req, platform, func(w dockerfile.Warning) {
		emit(Event{State: Warning, Name: w.Rule, Line: []byte(w.String()), Excerpt: w.Marked()})
	})
	if err != nil {
		return image.Image{}, err
	}
	for _, name := range o.file.UnusedArgs() {
		if slices.Contains(req.OptionalArgs, name) {
			continue
		}
		emit(Event{State: Warning, Name: "UnusedBuildArg", Line: []byte("build argument " + name + " is not declared by any ARG")})
	}
	target, err := o.file.Target()
	if err == nil {
		err = o.file.Lint() // what stages say is known after they were built
	}
	if err != nil {
		o.close()
		return image.Image{}, err
	}
	sr, err := o.request(&req, target, platform)
	if err != nil {
		o.close()
		return image.Image{}, err
	}
	sr.SSH = agents.sockets
	sr.Done = func() { o.close(); agents.end() }
	solving = true
	sr.Import = c.find(platform)
	res, err := b.solver.Solve(ctx, sr, emit)
	if err != nil {
		return image.Image{}, err
	}
	if err := o.file.Lint(); err != nil {
		return image.Image{}, err
	}
	c.note(res)
	if res.Base.Root != "" {
		emit(Event{State: Warning, Name: "RootfsBecomesLayer", Line: []byte("all files of " + res.Base.Root + " become the first layer of the image, which takes as long as they are large")})
	}
	return b.commit(ctx, &req, res, o.tree, platform, tags)
}
