package build

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/build/solve"
	"devstack/engine/build/source"
	"devstack/engine/image"
	"devstack/engine/image/commit"
)

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
