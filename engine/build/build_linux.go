package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/build/dockerfile"
	"devstack/engine/build/solve"
	"devstack/engine/build/source"
	"devstack/engine/build/step"
	"devstack/engine/container"
	"devstack/engine/image"
	"devstack/engine/image/commit"
	"devstack/engine/image/fetch"
	"devstack/engine/image/registry"
	"devstack/engine/image/store"
	"devstack/network"
)

// Config is what a Builder works with; all of it is required except Remote.
type Config struct {
	Images   *store.Store
	Runtime  *container.Runtime
	Network  *network.Stack
	DataRoot string
	Tag      string // of the engine: six hex digits
	Remote   *registry.Client
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
	for _, p := range platforms {
		img, err := b.buildOne(ctx, req, p, nil, c, emit)
		if err != nil {
			return image.Image{}, fmt.Errorf("platform %s: %w", image.FormatPlatform(p), err)
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

// opened is a Request whose context and Dockerfile have been read.
type opened struct {
	tree *source.Tree // nil without a context
	file *dockerfile.File
}

func (o *opened) close() {
	if o.tree != nil {
		o.tree.Close()
	}
}

// ignored says whether the context's ignore file hides a path.
func (o *opened) ignored(path string) bool { return o.tree != nil && o.tree.Ignores(path) }

func (b *Builder) open(ctx context.Context, req *Request, platform ocispec.Platform, warn func(dockerfile.Warning)) (_ *opened, err error) {
	o := &opened{}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	name := req.Dockerfile
	if name == "" {
		name = "Dockerfile"
	}
	if req.Context.Kind != "" {
		o.tree, err = source.Open(ctx, req.Context, source.Options{
			Dockerfile: name, Dir: b.solver.Sources(), Cache: b.solver.Digests, PlainModes: !req.KeepModes,
			Secret: secrets(req.Secrets).value,
		})
		if err != nil {
			return nil, err
		}
	}
	text := []byte(req.Inline)
	if req.Inline == "" {
		if text, err = o.readDockerfile(req, name); err != nil {
			return nil, err
		}
	} else {
		name = "Dockerfile (inline)"
	}
	o.file, err = dockerfile.Parse(text, dockerfile.Options{
		Name: cmp.Or(req.DockerfileName, filepath.Base(name)), Args: args(req), Target: req.Target, Platform: platform, BuildPlatform: image.HostPlatform(),
		IsContext: func(name string) bool { _, ok := req.Contexts[name]; return ok },
		Ignored:   o.ignored,
		Warn:      warn,
	})
	return o, err
}

// maxDockerfile bounds a Dockerfile, in bytes.
const maxDockerfile = 8 << 20

// readDockerfile reads it from the context, or beside it.
func (o *opened) readDockerfile(req *Request, name string) ([]byte, error) {
	if !filepath.IsAbs(name) && req.Context.Kind == source.KindDir && !filepath.IsLocal(name) {
		name = filepath.Join(req.Context.Path, name)
	}
	if filepath.IsAbs(name) {
		return os.ReadFile(name)
	}
	if o.tree == nil {
		return nil, errors.New("there is neither a Dockerfile nor a context to find it in")
	}
	text, err := o.tree.ReadFile(name, maxDockerfile)
	if errors.Is(err, fs.ErrNotExist) && req.Dockerfile == "" {
		if text, err := o.tree.ReadFile("dockerfile", maxDockerfile); err == nil {
			return text, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		if to, err := os.Readlink(filepath.Join(req.Context.Path, name)); err == nil && req.Context.Kind == source.KindDir {
			return nil, fmt.Errorf("%s has no %s: it is a link to %s, and links are followed inside a context only", req.Context, name, to)
		}
		return nil, fmt.Errorf("%s has no %s: %w", req.Context, name, fs.ErrNotExist)
	}
	return text, err
}

func args(req *Request) map[string]string {
	out := map[string]string{}
	for k, v := range req.Args {
		if v != nil {
			out[k] = *v
		}
	}
	return out
}

type secrets []Secret

func (s secrets) value(id string) ([]byte, bool) {
	for _, x := range s {
		if x.ID != id {
			continue
		}
		if x.File == "" {
			return x.Value, true
		}
		b, err := os.ReadFile(x.File)
		return b, err == nil
	}
	return nil, false
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
	sr, err := b.request(&req, o, target, platform)
	if err != nil {
		o.close()
		return image.Image{}, err
	}
	agents, err := agentsOf(ctx, req.SSH, b.solver.Sources())
	if err != nil {
		o.close()
		return image.Image{}, err
	}
	defer agents.end()
	sr.SSH = agents.sockets
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

func (b *Builder) request(req *Request, o *opened, target *dockerfile.Stage, platform ocispec.Platform) (solve.Request, error) {
	epoch, err := epochOf(req)
	if err != nil {
		return solve.Request{}, err
	}
	compression, err := compressionOf(req.Compression)
	if err != nil {
		return solve.Request{}, err
	}
	sr := solve.Request{
		File: o.file, Target: target, Platform: platform, Project: req.Project, Context: o.tree, Done: o.close, Contexts: req.Contexts, Epoch: epoch,
		Secrets: map[string]solve.Secret{}, Network: req.Network,
		AllowHost:  req.Privileged || req.Network == "host" || slices.Contains(req.Entitlements, "network.host"),
		AllowAll:   req.Privileged || slices.Contains(req.Entitlements, "security.insecure"),
		ExtraHosts: req.ExtraHosts, ShmSize: req.ShmSize, Memory: req.Memory, Ulimits: req.Ulimits,
		NoCache: req.NoCache, NoCacheIn: req.NoCacheFilter, Pull: req.Pull, KeepModes: req.KeepModes,
		Compression: compression, ResolveImage: req.Resolve, Credentials: secrets(req.Secrets).value,
		Registry: req.Registry,
	}
	if sr.Registry == nil {
		sr.Registry = b.cfg.Remote
	}
	limits, err := fetch.LimitsOf(sr.Registry)
	if err != nil {
		return solve.Request{}, err
	}
	sr.MaxBytes = limits.Bytes
	if o.tree != nil {
		_, sr.CommitTime = o.tree.Revision()
	}
	for _, s := range req.Secrets {
		sr.Secrets[s.ID] = solve.Secret{File: s.File, Value: s.Value}
	}
	return sr, nil
}

func compressionOf(text string) (commit.Compression, error) {
	switch c := commit.Compression(text); c {
	case "":
		return commit.Gzip, nil
	case commit.Gzip, commit.Zstd, commit.None:
		return c, nil
	}
	return "", fmt.Errorf("compression %q is not one of gzip, zstd, none", text)
}

// epochOf is SOURCE_DATE_EPOCH, given as such or as a build argument.
func epochOf(req *Request) (*time.Time, error) {
	text := req.Args["SOURCE_DATE_EPOCH"]
	if req.Epoch != nil || text == nil || *text == "" {
		return req.Epoch, nil
	}
	n, err := strconv.ParseInt(*text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("SOURCE_DATE_EPOCH %q is not a number of seconds", *text)
	}
	t := time.Unix(n, 0)
	return &t, nil
}

// commit names what was built.
func (b *Builder) commit(ctx context.Context, req *Request, res *solve.Result, tree *source.Tree, platform ocispec.Platform, tags []string) (image.Image, error) {
	f := res.File.Image
	spec := commit.Spec{
		Base: res.Base, Layers: res.Layers, Config: f.Config, History: f.History[res.NewHistory:], Platform: f.Platform,
		Author: f.Author, Annotations: annotations(req, res, tree), Tags: tags, Created: res.Epoch,
	}
	if spec.Platform.Architecture == "" {
		spec.Platform = platform
	}
	if spec.History == nil {
		spec.History = []ocispec.History{}
	}
	if len(req.Labels) > 0 && spec.Config.Labels == nil {
		spec.Config.Labels = map[string]string{}
	}
	for k, v := range req.Labels {
		spec.Config.Labels[k] = v
	}
	if res.Base.Root != "" {
		// A directory of this machine as the base: it becomes a layer now
		// that its image is to be named.
		l, err := commit.Layer(ctx, b.cfg.Images, res.Base.Root, commit.Options{
			Epoch: res.Epoch, Plain: true, Keep: true, Omit: b.omitted(res.Base.Root),
		})
		if err != nil {
			return image.Image{}, fmt.Errorf("take over %s: %w", res.Base.Root, err)
		}
		spec.Base, spec.Layers = image.Image{}, append([]image.Layer{l}, res.Layers...)
		first := ocispec.History{CreatedBy: "FROM rootfs", Created: &res.Epoch}
		spec.History = append([]ocispec.History{first}, spec.History...)
	}
	if slices.ContainsFunc(req.CacheTo, func(c CacheRef) bool { return c.Type == cacheInline }) {
		if err := inlineCache(&spec, res.Own); err != nil {
			return image.Image{}, err
		}
	}
	return commit.Image(ctx, b.cfg.Images, spec)
}

// omitted is what of this machine's root is its own.
func (b *Builder) omitted(root string) []string {
	out := []string{"proc", "sys", "dev", "run", "tmp"}
	if rel, err := filepath.Rel(root, b.cfg.DataRoot); err == nil && filepath.IsLocal(rel) && rel != "." {
		out = append(out, rel)
	}
	if root != "/" {
		return out[5:]
	}
	return out
}

// annotations say where the image comes from.
func annotations(req *Request, res *solve.Result, tree *source.Tree) map[string]string {
	out := map[string]string{}
	if req.Context.Kind == source.KindGit {
		out[ocispec.AnnotationSource] = req.Context.String()
		if commit, _ := tree.Revision(); commit != "" {
			out[ocispec.AnnotationRevision] = commit
		}
	}
	if base := res.Base; base.Digest != "" && base.Root == "" && strings.Contains(base.Ref, "/") && !strings.Contains(base.Ref, ":/") {
		out[ocispec.AnnotationBaseImageName] = base.Ref
		out[ocispec.AnnotationBaseImageDigest] = string(base.Digest)
	}
	for k, v := range req.Annotations {
		out[k] = v
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// Check reads a Dockerfile and says what BuildKit's linter finds in it, as far
// as that can be told without its base images.
func (b *Builder) Check(ctx context.Context, req Request) ([]dockerfile.Warning, error) {
	var found []dockerfile.Warning
	o, err := b.open(ctx, &req, image.HostPlatform(), func(w dockerfile.Warning) { found = append(found, w) })
	if err != nil {
		return found, err
	}
	defer o.close()
	plans := map[*dockerfile.Stage]dockerfile.Plan{}
	for _, s := range o.file.Stages {
		base := dockerfile.StateOf(image.File{Platform: image.HostPlatform()})
		if s.Base.Kind == dockerfile.Built {
			base = plans[s.Base.Stage].State
		} else if img, err := b.cfg.Images.Lookup(ctx, s.Base.Name); err == nil {
			base.Image.Config = img.Config
		}
		if plans[s], err = o.file.Evaluate(s, base); err != nil {
			return found, err
		}
	}
	return found, nil
}

// ImageUse is a place of a Dockerfile that names an image.
type ImageUse = dockerfile.ImageUse

// References are the places of its Dockerfile that name images which a build
// takes: what a lock file has to pin, beside additional contexts.
func (b *Builder) References(ctx context.Context, req Request) ([]ImageUse, error) {
	o, err := b.open(ctx, &req, image.HostPlatform(), nil)
	if err != nil {
		return nil, err
	}
	defer o.close()
	target, err := o.file.Target()
	if err != nil {
		return nil, err
	}
	return o.file.Images(target), nil
}
