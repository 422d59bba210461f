package build

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"devstack/engine/build/source"
	"devstack/engine/build/step"
	"devstack/engine/image/layer"
	"devstack/engine/image/manage"
)

// Kinds of manage.BuildRecord, and what their IDs begin with.
const (
	kindStep   = "step"
	kindCache  = "cache mount"
	kindSource = "source"
)

// A Builder's records are what `prune` and `du` see of it.
var _ manage.BuildCache = (*Builder)(nil)

// Records is part of manage.BuildCache: steps, the directories of
// RUN --mount=type=cache, and contexts that were fetched.
func (b *Builder) Records(ctx context.Context) ([]manage.BuildRecord, error) {
	steps, err := b.solver.Cache.Records(ctx)
	if err != nil {
		return nil, err
	}
	var out []manage.BuildRecord
	for _, r := range steps {
		m := manage.BuildRecord{
			ID: kindStep + ":" + r.Key, Project: r.Project, Kind: kindStep, Description: r.Step, Created: r.Created, Used: r.Used,
		}
		if !r.Empty {
			m.Layers, m.Blobs = []digest.Digest{r.Layer.DiffID}, []digest.Digest{r.Layer.Digest}
		}
		out = append(out, m)
	}
	mounts, err := b.solver.Mounts.List()
	if err != nil {
		return nil, err
	}
	for _, c := range mounts {
		size, err := layer.DiskUsage(ctx, b.solver.Mounts.Dir(c.Name))
		if err != nil {
			return nil, err
		}
		out = append(out, manage.BuildRecord{
			ID: kindCache + ":" + c.Name, Kind: kindCache, Description: c.ID, Created: c.Used, Used: c.Used, InUse: c.Busy, Size: size,
		})
	}
	return b.sources(ctx, out)
}

func (b *Builder) sources(ctx context.Context, out []manage.BuildRecord) ([]manage.BuildRecord, error) {
	all, err := source.List(b.solver.Sources())
	if err != nil {
		return nil, fmt.Errorf("list sources of builds: %w", err)
	}
	for _, k := range all {
		size, err := layer.DiskUsage(ctx, k.Dir)
		if err != nil {
			return nil, err
		}
		out = append(out, manage.BuildRecord{
			ID: kindSource + ":" + k.Name, Kind: kindSource, Description: k.URL, Created: k.Used, Used: k.Used, Size: size, InUse: k.Busy,
		})
	}
	return out, nil
}

// Forget is part of manage.BuildCache.
func (b *Builder) Forget(ctx context.Context, ids []string) error {
	var errs []error
	for _, id := range ids {
		kind, name, _ := strings.Cut(id, ":")
		if name == "" || !filepath.IsLocal(name) || filepath.Base(name) != name {
			return fmt.Errorf("forget build record: id %q is not valid", id)
		}
		var err error
		switch kind {
		case kindStep:
			err = b.solver.Cache.Remove(name)
		case kindCache:
			if err = b.solver.Mounts.Remove(name); errors.Is(err, step.ErrInUse) {
				err = nil
			}
		case kindSource:
			err = source.Drop(b.solver.Sources(), name)
		default:
			err = fmt.Errorf("forget build record: id %q is not valid", id)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
