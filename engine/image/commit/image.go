package commit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image"
	"devstack/engine/image/store"
)

// Spec says what an image is made of.
type Spec struct {
	// Base is the image that Layers come on top of; the zero value is
	// scratch. One of a rootfs: reference must have become a layer first.
	Base   image.Image
	Layers []image.Layer // the lowest first
	Config image.Config  // the whole of it: nothing is taken from Base's
	// History has an entry for each step after Base's; those that are not
	// EmptyLayer are Layers', in order. nil makes up what is needed.
	History     []ocispec.History
	Platform    ocispec.Platform // zero: Base's, else the host's
	Author      string
	Annotations map[string]string
	// Tags name the image. Without any it goes by its ID and is collected
	// once nobody uses it.
	Tags    []string
	Created time.Time // zero: left out
}

// Image writes an image of layers that the store has, and names it. The same
// spec gives the same digests.
func Image(ctx context.Context, s *store.Store, spec Spec) (image.Image, error) {
	end, err := s.Begin(ctx)
	if err != nil {
		return image.Image{}, err
	}
	defer end()
	img, err := writeImage(ctx, s, spec)
	if err != nil {
		return image.Image{}, fmt.Errorf("commit image: %w", err)
	}
	return img, nil
}

func writeImage(ctx context.Context, s *store.Store, spec Spec) (image.Image, error) {
	if spec.Base.Root != "" {
		return image.Image{}, errors.New("its base is a directory of this machine: commit that as a layer first")
	}
	base, err := baseFile(s, spec.Base)
	if err != nil {
		return image.Image{}, err
	}
	platform, err := platformOf(spec)
	if err != nil {
		return image.Image{}, err
	}
	history, err := joinHistory(base.History, len(spec.Base.Layers), spec)
	if err != nil {
		return image.Image{}, err
	}
	layers := slices.Concat(spec.Base.Layers, spec.Layers)
	config, err := json.Marshal(image.File{
		Created: instant(spec.Created), Author: spec.Author, Platform: platform, Config: spec.Config,
		RootFS: ocispec.RootFS{Type: "layers", DiffIDs: diffIDs(layers)}, History: history,
	})
	if err != nil {
		return image.Image{}, err
	}
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Size: int64(len(config))},
		Layers: []ocispec.Descriptor{}, Annotations: spec.Annotations,
	}
	for _, l := range layers {
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: ociLayerType(l.MediaType), Digest: l.Digest, Size: l.Size})
	}
	if m.Config.Digest, err = s.WriteBlob(config); err != nil {
		return image.Image{}, err
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return image.Image{}, err
	}
	d, err := s.WriteBlob(raw)
	if err != nil {
		return image.Image{}, err
	}
	e := store.Entry{
		Platform: platform, Source: d,
		Manifest: ocispec.Descriptor{MediaType: m.MediaType, Digest: d, Size: int64(len(raw))},
	}
	return name(ctx, s, e, m.Config.Digest, spec.Tags)
}

// name puts the image into the index under every tag at once, or under its ID.
func name(ctx context.Context, s *store.Store, e store.Entry, id digest.Digest, tags []string) (image.Image, error) {
	refs, err := canonical(tags)
	if err != nil {
		return image.Image{}, err
	}
	if len(refs) == 0 {
		refs = []string{string(id)}
	}
	var entries []store.Entry
	for _, ref := range refs {
		e.Ref = ref
		entries = append(entries, e)
	}
	if err := s.Set(ctx, entries...); err != nil {
		return image.Image{}, err
	}
	return s.Load(entries[0])
}

// canonical is how the store spells tags, each once.
func canonical(tags []string) ([]string, error) {
	var refs []string
	for _, tag := range tags {
		r, err := image.ParseReference(tag)
		if err != nil {
			return nil, err
		}
		if r.Transport != image.Docker || r.Digest != "" {
			return nil, fmt.Errorf("%s is no tag (want [registry/]name[:tag])", tag)
		}
		if !slices.Contains(refs, r.String()) {
			refs = append(refs, r.String())
		}
	}
	return refs, nil
}

func baseFile(s *store.Store, base image.Image) (image.File, error) {
	if base.ID == "" {
		return image.File{}, nil
	}
	b, err := s.ReadBlob(base.ID)
	if err != nil {
		return image.File{}, fmt.Errorf("read base %s: %w", image.FamiliarString(base.Ref), err)
	}
	return image.ParseFile(b)
}

func platformOf(spec Spec) (ocispec.Platform, error) {
	switch {
	case spec.Platform.Architecture != "":
		return spec.Platform, nil
	case spec.Base.Platform != "":
		return image.ParsePlatform(spec.Base.Platform)
	}
	return image.HostPlatform(), nil
}

// joinHistory puts the steps after those of the base. Where a history does not
// account for every layer, as of images that tools without one made, entries
// are made up: other programs count them.
func joinHistory(base []ocispec.History, baseLayers int, spec Spec) ([]ocispec.History, error) {
	missing := baseLayers - countLayers(base)
	if missing < 0 {
		base, missing = nil, baseLayers
	}
	all := slices.Clone(base)
	for range missing {
		all = append(all, ocispec.History{Created: instant(spec.Base.Created), Comment: "layer of the base image"})
	}
	steps := spec.History
	if steps == nil {
		for range spec.Layers {
			steps = append(steps, ocispec.History{Created: instant(spec.Created), CreatedBy: "devstack"})
		}
	}
	if n := countLayers(steps); n != len(spec.Layers) {
		return nil, fmt.Errorf("history has %d steps with a layer, and there are %d layers", n, len(spec.Layers))
	}
	return append(all, steps...), nil
}

func countLayers(h []ocispec.History) int {
	n := 0
	for _, e := range h {
		if !e.EmptyLayer {
			n++
		}
	}
	return n
}

func diffIDs(layers []image.Layer) []digest.Digest {
	ids := make([]digest.Digest, 0, len(layers))
	for _, l := range layers {
		ids = append(ids, l.DiffID)
	}
	return ids
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

// ociLayerType translates Docker's names: an OCI manifest may not mix them in.
func ociLayerType(mediaType string) string {
	switch mediaType {
	case "application/vnd.docker.image.rootfs.diff.tar.gzip", "":
		return ocispec.MediaTypeImageLayerGzip
	case "application/vnd.docker.image.rootfs.diff.tar.zstd":
		return ocispec.MediaTypeImageLayerZstd
	case "application/vnd.docker.image.rootfs.diff.tar":
		return ocispec.MediaTypeImageLayer
	}
	return mediaType
}

// Index makes one image of several platforms of images that the store has,
// and names it; tags must not be empty. It returns the index's digest.
func Index(ctx context.Context, s *store.Store, images []image.Image, tags []string, annotations map[string]string) (digest.Digest, error) {
	end, err := s.Begin(ctx)
	if err != nil {
		return "", err
	}
	defer end()
	d, err := writeIndex(ctx, s, images, tags, annotations)
	if err != nil {
		return "", fmt.Errorf("commit index: %w", err)
	}
	return d, nil
}

func writeIndex(ctx context.Context, s *store.Store, images []image.Image, tags []string, annotations map[string]string) (digest.Digest, error) {
	refs, err := canonical(tags)
	if err != nil {
		return "", err
	}
	byPlatform := map[string]ocispec.Descriptor{}
	for _, img := range images {
		p, err := image.ParsePlatform(img.Platform)
		if err != nil {
			return "", err
		}
		raw, err := s.ReadBlob(img.Manifest)
		if err != nil {
			return "", err
		}
		byPlatform[img.Platform] = ocispec.Descriptor{MediaType: manifestType(raw), Digest: img.Manifest, Size: int64(len(raw)), Platform: &p}
	}
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Annotations: annotations,
	}
	for _, p := range slices.Sorted(maps.Keys(byPlatform)) {
		index.Manifests = append(index.Manifests, byPlatform[p])
	}
	raw, err := json.Marshal(index)
	if err != nil {
		return "", err
	}
	d, err := s.WriteBlob(raw)
	if err != nil {
		return "", err
	}
	var entries []store.Entry
	for _, ref := range refs {
		for _, m := range index.Manifests {
			p := *m.Platform
			m.Platform = nil
			entries = append(entries, store.Entry{Ref: ref, Platform: p, Manifest: m, Source: d})
		}
	}
	return d, s.Set(ctx, entries...)
}

func manifestType(raw []byte) string {
	var m struct {
		MediaType string `json:"mediaType"`
	}
	if json.Unmarshal(raw, &m) != nil || m.MediaType == "" {
		return ocispec.MediaTypeImageManifest
	}
	return m.MediaType
}
