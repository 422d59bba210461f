package engine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/image"
	"devstack/engine/image/fetch"
)

// pins is a lock in use, for one project.
type pins struct {
	lock  *api.Lock
	built map[string]string // see image.Built
}

func pinsOf(l *api.Lock, p *compose.Project) pins {
	if l == nil {
		return pins{}
	}
	return pins{lock: l, built: image.Built(p)}
}

// resolve is the reference that stands for ref in the lock: with its digest.
func (p pins) resolve(ref string) (string, error) {
	if p.lock == nil {
		return ref, nil
	}
	r, err := image.ParseReference(ref)
	if err != nil || r.Transport != image.Docker || r.Digest != "" || p.built[r.String()] != "" {
		return ref, nil
	}
	d, ok := p.lock.Digests[r.String()]
	if !ok && p.lock.Frozen {
		return "", &image.Error{
			Ref: ref, Op: "use", Err: errors.New("it is not in devstack.lock"),
			Hint: "`devstack lock` writes it there",
		}
	}
	if !ok {
		return ref, nil
	}
	// As it was written but for the digest: whether a registry is named counts.
	if !strings.Contains(ref[strings.LastIndexByte(ref, '/')+1:], ":") {
		ref += ":" + r.Tag
	}
	return ref + "@" + d, nil
}

// parallelResolves bounds the references that registries are asked for at
// once.
const parallelResolves = 8

// Lock asks registries what references stand for; the error tells all that
// could not be resolved.
func (e *Engine) Lock(ctx context.Context, req api.LockRequest, _ func(api.Message)) (api.LockResult, error) {
	remote, done := e.registryFor(req.Credentials)
	defer done()
	res := api.LockResult{Images: make([]api.LockedImage, len(req.Refs))}
	errs := make([]error, len(req.Refs))
	slots := make(chan struct{}, parallelResolves)
	var wg sync.WaitGroup
	for i, r := range req.Refs {
		wg.Go(func() {
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
			case <-ctx.Done():
				errs[i] = context.Cause(ctx)
				return
			}
			found, err := fetch.Resolve(ctx, r.Ref, remote)
			if err != nil {
				errs[i] = &api.Error{Service: r.Service, Message: err.Error(), Hint: image.Hint(err), Path: r.Path}
				return
			}
			img := api.LockedImage{Digest: string(found.Digest), Platforms: map[string]string{}}
			for p, d := range found.Platforms {
				img.Platforms[p] = string(d)
			}
			res.Images[i] = img
		})
	}
	wg.Wait()
	return res, errors.Join(errs...)
}

// References reads the Dockerfiles of services and lists the images they name;
// nothing is built.
func (e *Engine) References(ctx context.Context, req api.BuildRequest, emit func(api.Message)) (api.ReferencesResult, error) {
	res := api.ReferencesResult{References: []api.BuildReference{}}
	if req.Project == nil {
		return res, &api.Error{Message: "no project given"}
	}
	services, err := buildable(&req)
	if err != nil {
		return res, err
	}
	b, done, err := e.newBuilds(&req, emit)
	if err != nil {
		return res, err
	}
	defer done()
	b.readOnly = true
	var errs []error
	for _, name := range services {
		refs, err := b.references(ctx, name)
		if err != nil {
			errs = append(errs, buildError(name, err))
		}
		res.References = append(res.References, refs...)
	}
	return res, errors.Join(errs...)
}

func (b *builds) references(ctx context.Context, name string) ([]api.BuildReference, error) {
	s := b.req.Project.Services[name]
	s.Name = name
	req, err := b.request(ctx, &s)
	if err != nil {
		return nil, err
	}
	uses, err := b.builder.References(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("read its Dockerfile: %w", err)
	}
	file := dockerfileOf(req.Dockerfile, req.Context.Path)
	if req.Inline != "" {
		file = ""
	}
	var out []api.BuildReference
	for _, u := range uses {
		platforms := []string{u.Platform}
		if u.Platform == "" && len(req.Platforms) > 0 {
			platforms = req.Platforms
		}
		for _, p := range platforms {
			out = append(out, api.BuildReference{Service: name, Ref: u.Ref, Platform: p, What: u.What, File: file, Line: u.Line})
		}
	}
	return out, nil
}

// dockerfileOf is where a Dockerfile lies, for messages.
func dockerfileOf(name, context string) string {
	if name == "" {
		name = "Dockerfile"
	}
	if filepath.IsAbs(name) || context == "" {
		return name
	}
	return filepath.Join(context, name)
}
