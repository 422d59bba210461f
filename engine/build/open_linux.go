package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/build/dockerfile"
	"devstack/engine/build/solve"
	"devstack/engine/build/source"
	"devstack/engine/image"
	"devstack/engine/image/fetch"
	"devstack/engine/image/layer"
)

// opened is a Request whose context and Dockerfile have been read.
type opened struct {
	tree   *source.Tree // nil without a context
	file   *dockerfile.File
	limits layer.Limits // of what is unpacked
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
	if o.limits, err = fetch.LimitsOf(req.Registry); err != nil {
		return nil, err
	}
	if req.Context.Kind != "" {
		o.tree, err = source.Open(ctx, req.Context, source.Options{
			Dockerfile: name, Dir: b.solver.Sources(), Cache: b.solver.Digests, PlainModes: !req.KeepModes,
			Secret: secrets(req.Secrets).value, Environ: req.Environ, MaxBytes: o.limits.Bytes,
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
		return source.HostFile(name, maxDockerfile)
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
		b, err := source.HostFile(x.File, solve.MaxSecret)
		return b, err == nil
	}
	return nil, false
}
