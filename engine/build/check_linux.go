package build

import (
	"context"

	"devstack/engine/build/dockerfile"
	"devstack/engine/image"
)

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
