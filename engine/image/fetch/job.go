package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"devstack/engine/image"
	"devstack/engine/image/layer"
	"devstack/engine/image/registry"
	"devstack/engine/image/store"
)

// parallelLayers bounds the layers of one image in flight; store.Slots those
// of all.
const parallelLayers = 6

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
	fresh, err := j.transfer(ctx, storeSource{j.store, e}, tell)
	fresh.Stamp, fresh.Source, fresh.Added = e.Stamp, e.Source, e.Added
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
	e, err := j.transfer(ctx, src, tell)
	e.Stamp = stamp
	return e, src.explain(err)
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

// transfer copies an image's manifest, configuration and layers into the
// store.
func (j *job) transfer(ctx context.Context, src source, tell func(Progress)) (store.Entry, error) {
	top, desc, err := src.root(ctx)
	if err != nil {
		return store.Entry{}, err
	}
	e := store.Entry{Ref: j.ref.String(), Source: desc.Digest, Platform: j.platform}
	raw, m, desc, err := j.manifest(ctx, src, top, desc)
	if err != nil {
		return store.Entry{}, err
	}
	e.Manifest = ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
	config, err := src.meta(ctx, m.Config)
	if err != nil {
		return store.Entry{}, fmt.Errorf("get configuration: %w", err)
	}
	img, err := j.store.Assemble(desc.Digest, m, config)
	if err != nil {
		return store.Entry{}, err
	}
	if p, err := image.ParsePlatform(img.Platform); err == nil && img.Platform != "" {
		if j.o.Platform != "" && (p.OS != j.platform.OS || p.Architecture != j.platform.Architecture) {
			return store.Entry{}, fmt.Errorf("image is for %s, not %s", img.Platform, image.FormatPlatform(j.platform))
		}
		e.Platform = p
	}
	if err := j.layers(ctx, src, img.Layers, tell); err != nil {
		return store.Entry{}, err
	}
	for _, b := range [][]byte{config, raw, top} {
		if _, err := j.store.WriteBlob(b); err != nil {
			return store.Entry{}, err
		}
	}
	return e, nil
}

// manifest follows indexes down to the manifest for the platform.
func (j *job) manifest(ctx context.Context, src source, raw []byte, desc ocispec.Descriptor) ([]byte, ocispec.Manifest, ocispec.Descriptor, error) {
	for depth := 0; depth < 4; depth++ {
		var probe struct {
			ocispec.Manifest
			Manifests []ocispec.Descriptor `json:"manifests"`
			History   json.RawMessage      `json:"history"`
		}
		if err := json.Unmarshal(raw, &probe); err != nil {
			return nil, ocispec.Manifest{}, desc, fmt.Errorf("parse manifest %s: %w", desc.Digest, err)
		}
		if probe.SchemaVersion == 1 {
			return nil, ocispec.Manifest{}, desc, fmt.Errorf("image has a manifest of Docker's schema 1, which no current tool supports: push it again with a newer one")
		}
		if probe.Manifests == nil {
			if probe.MediaType != "" {
				desc.MediaType = probe.MediaType
			}
			return raw, probe.Manifest, desc, checkManifest(probe.Manifest)
		}
		next, err := image.ChoosePlatform(probe.Manifests, j.platform)
		if err != nil {
			return nil, ocispec.Manifest{}, desc, err
		}
		if raw, err = src.meta(ctx, next); err != nil {
			return nil, ocispec.Manifest{}, desc, fmt.Errorf("get manifest: %w", err)
		}
		desc = next
	}
	return nil, ocispec.Manifest{}, desc, fmt.Errorf("index refers to itself or is nested too deeply")
}

const dockerConfig = "application/vnd.docker.container.image.v1+json"

func checkManifest(m ocispec.Manifest) error {
	switch m.Config.MediaType {
	case ocispec.MediaTypeImageConfig, dockerConfig, "":
	default:
		return fmt.Errorf("it is no container image but an artifact of type %s", m.Config.MediaType)
	}
	if err := m.Config.Digest.Validate(); err != nil {
		return fmt.Errorf("manifest names configuration %q: %w", m.Config.Digest, err)
	}
	return nil
}

func (j *job) layers(ctx context.Context, src source, layers []image.Layer, tell func(Progress)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelLayers)
	for _, l := range layers {
		g.Go(func() error {
			if j.store.HasLayer(l.DiffID) && j.store.HasBlob(l.Digest, l.Size) {
				tell(Progress{Layer: l.Digest, State: store.Exists, Current: l.Size, Total: l.Size})
				return nil
			}
			watch := func(p Progress) { p.Layer = l.Digest; tell(p) }
			_, err := j.store.Layers.Do(ctx, string(l.DiffID), watch, func(ctx context.Context, report func(Progress)) (struct{}, error) {
				return struct{}{}, j.layer(ctx, src, l, report)
			})
			if _, own := src.(storeSource); own || err != nil || j.store.HasBlob(l.Digest, l.Size) {
				return err
			}
			_, err = j.store.Layers.Do(ctx, "blob "+string(l.Digest), watch, func(ctx context.Context, report func(Progress)) (struct{}, error) {
				return struct{}{}, j.blob(ctx, src, l, report)
			})
			return err
		})
	}
	return g.Wait()
}

// layer unpacks one layer: from its blob if the store has that, else from the
// source while it arrives.
func (j *job) layer(ctx context.Context, src source, l image.Layer, report func(Progress)) error {
	if j.store.HasLayer(l.DiffID) {
		report(Progress{State: store.Exists, Current: l.Size, Total: l.Size})
		return nil
	}
	if err := j.store.Slots.Acquire(ctx, 1); err != nil {
		return err
	}
	defer j.store.Slots.Release(1)
	if j.store.HasBlob(l.Digest, l.Size) {
		err := j.ingest(ctx, storeSource{s: j.store}, l, nil, report)
		var corrupt *layer.DigestError
		if !errors.As(err, &corrupt) || corrupt.Want != l.Digest {
			return err
		}
		if err := j.store.RemoveBlob(l.Digest); err != nil {
			return err
		}
	}
	blob, err := j.store.NewBlob()
	if err != nil {
		return err
	}
	defer blob.Discard()
	return j.ingest(ctx, src, l, blob, report)
}

func (j *job) ingest(ctx context.Context, src source, l image.Layer, blob *store.BlobWriter, report func(Progress)) error {
	tree, err := j.store.NewLayer()
	if err != nil {
		return err
	}
	defer tree.Discard()
	state := store.Downloading
	var w io.Writer
	if blob == nil {
		state = store.Unpacking
	} else {
		w = blob
	}
	open := func(ctx context.Context) (io.ReadCloser, error) { return src.blob(ctx, descriptor(l)) }
	want := layer.Blob{Digest: l.Digest, Size: l.Size, DiffID: l.DiffID}
	report(Progress{State: state, Total: l.Size})
	err = layer.Ingest(ctx, open, w, tree.Dir, want, j.o.Limits, meter(l.Size, func(n int64) {
		report(Progress{State: state, Current: n, Total: l.Size})
	}))
	if err != nil {
		return fmt.Errorf("layer %s: %w", short(l.Digest), err)
	}
	if blob != nil {
		if err := blob.Commit(l.Digest); err != nil {
			return err
		}
	}
	if err := tree.Commit(l.DiffID); err != nil {
		return err
	}
	report(Progress{State: store.Done, Current: l.Size, Total: l.Size})
	return nil
}

// blob gets a layer's blob alone, where the layer is unpacked already from one
// that was compressed differently: to save or push the image takes its own.
func (j *job) blob(ctx context.Context, src source, l image.Layer, report func(Progress)) error {
	if err := j.store.Slots.Acquire(ctx, 1); err != nil {
		return err
	}
	defer j.store.Slots.Release(1)
	r, err := src.blob(ctx, descriptor(l))
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := j.store.NewBlob()
	if err != nil {
		return err
	}
	defer w.Discard()
	report(Progress{State: store.Downloading, Total: l.Size})
	sum := l.Digest.Algorithm().Hash()
	n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(ctxReader{ctx, r}, l.Size+1))
	switch {
	case err != nil:
	case n != l.Size:
		err = &layer.SizeError{Want: l.Size, Got: n}
	case digest.NewDigest(l.Digest.Algorithm(), sum) != l.Digest:
		err = &layer.DigestError{What: "layer", Want: l.Digest, Got: digest.NewDigest(l.Digest.Algorithm(), sum)}
	default:
		err = w.Commit(l.Digest)
	}
	if err != nil {
		return fmt.Errorf("layer %s: %w", short(l.Digest), err)
	}
	report(Progress{State: store.Done, Current: l.Size, Total: l.Size})
	return nil
}

// meter thins out progress to about a hundred reports a layer.
func meter(size int64, report func(int64)) func(int64) {
	step := max(size/100, 256<<10)
	next := step
	return func(n int64) {
		if n >= next {
			next = n + step
			report(n)
		}
	}
}

func descriptor(l image.Layer) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size}
}

func short(d digest.Digest) string {
	if h := d.Encoded(); len(h) > 12 {
		return string(d.Algorithm()) + ":" + h[:12]
	}
	return string(d)
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
