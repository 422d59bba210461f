package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"devstack/engine/image"
	"devstack/engine/image/layer"
	"devstack/engine/image/store"
)

// parallelLayers bounds the layers of one image in flight; store.Slots those
// of all.
const parallelLayers = 6

// transfer copies an image's manifest, configuration and layers into the
// store.
func (j *job) transfer(ctx context.Context, src source, tell func(Progress)) (store.Entry, error) {
	d, err := j.describe(ctx, src)
	if err != nil {
		return store.Entry{}, err
	}
	e := store.Entry{Ref: j.ref.String(), Source: d.source, Platform: j.platform, Manifest: d.manifest}
	if p, err := image.ParsePlatform(d.image.Platform); err == nil && d.image.Platform != "" {
		if j.o.Platform != "" && (p.OS != j.platform.OS || p.Architecture != j.platform.Architecture) {
			return store.Entry{}, fmt.Errorf("image is for %s, not %s", d.image.Platform, image.FormatPlatform(j.platform))
		}
		e.Platform = p
	}
	if err := j.layers(ctx, src, d.image.Layers, tell); err != nil {
		return store.Entry{}, err
	}
	for _, b := range d.blobs {
		if _, err := j.store.WriteBlob(b); err != nil {
			return store.Entry{}, err
		}
	}
	return e, nil
}

// description is what a source says of an image.
type description struct {
	source      digest.Digest // of the index, or of the only manifest
	manifest    ocispec.Descriptor
	annotations map[string]string // of the manifest
	image       image.Image       // its layers need not be there
	blobs       [][]byte          // configuration, manifest, index
}

// describe reads all of an image but its layers.
func (j *job) describe(ctx context.Context, src source) (description, error) {
	top, desc, err := src.root(ctx)
	if err != nil {
		return description{}, err
	}
	d := description{source: desc.Digest}
	raw, m, desc, err := j.manifest(ctx, src, top, desc)
	if err != nil {
		return description{}, err
	}
	d.manifest = ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
	config, err := src.meta(ctx, m.Config)
	if err != nil {
		return description{}, fmt.Errorf("get configuration: %w", err)
	}
	d.annotations, d.blobs = m.Annotations, [][]byte{config, raw, top}
	d.image, err = j.store.Assemble(desc.Digest, m, config)
	return d, err
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
