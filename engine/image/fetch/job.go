package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"syscall"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image"
	"devstack/engine/image/layer"
	"devstack/engine/image/registry"
	"devstack/engine/image/store"
)

// source is where an image comes from.
type source interface {
	// root is what the reference stands for: an index or a manifest.
	root(ctx context.Context) ([]byte, ocispec.Descriptor, error)
	// meta reads a small blob: a manifest or a configuration. It verifies.
	meta(ctx context.Context, d ocispec.Descriptor) ([]byte, error)
	// blob opens a layer. Reads end with ctx; nothing is verified.
	blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error)
	explain(err error) error
	Close()
}

// job is one image on its way into the store.
type job struct {
	store    *store.Store
	ref      image.Reference
	short    bool // no registry was named
	o        Options
	when     policy
	platform ocispec.Platform
}

func (j *job) run(ctx context.Context, report func(Progress)) (image.Image, error) {
	end, err := j.store.Begin(ctx)
	if err != nil {
		return image.Image{}, err
	}
	defer end()
	tell := func(p Progress) { p.Image = j.ref.String(); report(p) }
	tell(Progress{State: store.Resolving})
	e, err := j.fromStore(ctx, tell)
	if errors.Is(err, store.ErrNotFound) && !j.when.never {
		e, err = j.fromOrigin(ctx, tell)
	}
	if err != nil {
		return image.Image{}, j.explain(err)
	}
	if err := j.store.Put(ctx, e); err != nil {
		return image.Image{}, err
	}
	img, err := j.store.Load(e)
	if err == nil {
		tell(Progress{State: store.Done, Current: img.Size, Total: img.Size})
	}
	return img, err
}

// fromStore completes an image whose unpacked layers went away from its
// blobs. It is store.ErrNotFound if those are not all there or damaged.
func (j *job) fromStore(ctx context.Context, tell func(Progress)) (store.Entry, error) {
	e, err := j.store.Find(j.ref.String(), j.o.Platform)
	if errors.Is(err, store.ErrNotFound) {
		if twin, ok := j.twin(); ok {
			e, err = twin, nil
		}
	}
	if err != nil || j.stale(e) || !j.unpackable(e) {
		return e, store.ErrNotFound
	}
	fresh, err := j.refresh(ctx, e, tell)
	fresh.Added = e.Added
	return fresh, err
}

// fromOrigin gets the image from where its reference says.
func (j *job) fromOrigin(ctx context.Context, tell func(Progress)) (store.Entry, error) {
	stamp, err := stampOf(j.ref)
	if err != nil {
		return store.Entry{}, j.missingFile(err)
	}
	src, err := j.open(ctx)
	if err != nil {
		return store.Entry{}, err
	}
	defer src.Close()
	e, same, err := j.unchanged(ctx, src)
	if err != nil {
		return e, src.explain(err)
	}
	if same {
		return j.refresh(ctx, e, tell)
	}
	e, err = j.transfer(ctx, src, tell)
	e.Stamp = stamp
	return e, src.explain(err)
}

// unchanged says whether the registry has for a tag what the store has. Where
// it refuses to tell, the manifest itself is asked for.
func (j *job) unchanged(ctx context.Context, src source) (e store.Entry, same bool, err error) {
	r, ok := src.(*registrySource)
	if !ok || j.ref.Digest != "" {
		return e, false, nil
	}
	if e, err = j.store.Find(j.ref.String(), j.o.Platform); err != nil || !j.unpackable(e) {
		return e, false, nil
	}
	d, err := r.repo.Digest(ctx, j.ref.Tag)
	var status *registry.StatusError
	if errors.As(err, &status) && status.Status < 500 && status.Status != http.StatusTooManyRequests {
		return e, false, nil
	}
	return e, err == nil && d == e.Source, err
}

// refresh is an entry of the store anew, as of now.
func (j *job) refresh(ctx context.Context, e store.Entry, tell func(Progress)) (store.Entry, error) {
	fresh, err := j.transfer(ctx, storeSource{j.store, e}, tell)
	fresh.Source, fresh.Stamp = e.Source, e.Stamp
	return fresh, err
}

func (j *job) open(ctx context.Context) (source, error) {
	switch j.ref.Transport {
	case image.Docker:
		return j.openRegistry(ctx)
	case image.OCI:
		return openLayout(j.ref)
	case image.OCIArchive:
		return openLayoutArchive(ctx, j.store, j.ref, j.o.Limits)
	case image.DockerArchive:
		return openDockerArchive(ctx, j.store, j.ref, j.o.Limits)
	}
	return nil, fmt.Errorf("transport %s is not supported", j.ref.Transport)
}

func (j *job) explain(err error) error {
	var known *image.Error
	if errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return err
	}
	op := "open"
	if j.ref.Transport == image.Docker {
		op = "pull"
	}
	e := &image.Error{Ref: j.ref.Familiar(), Op: op, Err: err}
	var refused *layer.RefusedError
	var corrupt *layer.DigestError
	var size *layer.SizeError
	switch {
	case errors.As(err, &refused) && refused.Limit:
		e.Hint = "if the image is to be trusted, allow more with " + LimitVariable + " (such as 200g)"
	case errors.As(err, &refused):
		e.Hint = "the image is broken or hostile; do not use it"
	case errors.As(err, &corrupt), errors.As(err, &size):
		e.Hint = "the image was damaged on its way or where it is kept; get or make it again"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Hint = "make space: remove images that are not used any more, or move the data root (DEVSTACK_DATA_ROOT) to a larger disk"
	}
	return e
}

func (j *job) missingFile(err error) error {
	e := &image.Error{Ref: j.ref.String(), Op: "open", Err: err}
	if errors.Is(err, os.ErrNotExist) {
		e.Err = fmt.Errorf("%s does not exist", j.ref.File)
		e.Hint = "the path counts from the directory of the project file"
	}
	return e
}

func (j *job) openRegistry(ctx context.Context) (source, error) {
	c, own := j.o.Registry, false
	if c == nil {
		c, own = registry.New(registry.Options{}), true
	}
	find := c.Repository
	if j.short {
		find = c.Short
	}
	repo, err := find(ctx, j.ref)
	if err != nil {
		if own {
			c.Close()
		}
		return nil, registry.Explain(j.ref, err)
	}
	s := &registrySource{repo: repo, ref: j.ref}
	if own {
		s.client = c
	}
	return s, nil
}
