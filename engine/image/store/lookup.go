package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image"
)

// Lookup finds the image that ref names, for the host's platform if there is
// a choice. ref may also be an image's ID, in full or 12 digits or more of it.
func (s *Store) Lookup(ctx context.Context, ref string) (image.Image, error) {
	e, err := s.Find(ref, "")
	if err != nil {
		return image.Image{}, err
	}
	return s.Load(e)
}

// Find is the entry that ref names; platform "" prefers the host's and takes
// any other. It does not look at blobs or layers.
func (s *Store) Find(ref, platform string) (Entry, error) {
	entries, err := s.entries()
	if err != nil {
		return Entry{}, err
	}
	name := ref
	if r, err := image.ParseReference(ref); err == nil {
		name = r.String()
	}
	var named []Entry
	for _, e := range entries {
		if e.Ref == name {
			named = append(named, e)
		}
	}
	if len(named) == 0 {
		named = s.byID(entries, ref)
	}
	if e, ok := choose(named, platform); ok {
		return e, nil
	}
	if len(named) > 0 {
		return Entry{}, &image.AbsentError{Ref: image.FamiliarString(ref), Platform: platform}
	}
	return Entry{}, &image.AbsentError{Ref: image.FamiliarString(ref)}
}

// FindDigest is an entry, whatever its name, of the image or index that has
// this digest.
func (s *Store) FindDigest(d digest.Digest, platform string) (Entry, error) {
	entries, err := s.entries()
	if err != nil {
		return Entry{}, err
	}
	var found []Entry
	for _, e := range entries {
		if e.Source == d || e.Manifest.Digest == d {
			found = append(found, e)
		}
	}
	if e, ok := choose(found, platform); ok {
		return e, nil
	}
	return Entry{}, &image.AbsentError{Ref: string(d)}
}

func choose(entries []Entry, platform string) (Entry, bool) {
	want, err := image.ParsePlatform(platform)
	if err != nil || len(entries) == 0 {
		return Entry{}, false
	}
	descs := make([]ocispec.Descriptor, len(entries))
	for i, e := range entries {
		descs[i] = e.Manifest
		descs[i].Platform = &e.Platform
	}
	best, err := image.ChoosePlatform(descs, want)
	if err != nil {
		// An image of one strange platform is still what was asked for.
		return entries[len(entries)-1], platform == ""
	}
	for _, e := range entries {
		if e.Manifest.Digest == best.Digest && samePlatform(e.Platform, *best.Platform) {
			return e, true
		}
	}
	return Entry{}, false
}

// byID finds images by the digest of their configuration or its beginning.
func (s *Store) byID(entries []Entry, id string) []Entry {
	hex, full := strings.CutPrefix(id, "sha256:")
	if !full && len(hex) < 12 || strings.Trim(hex, "0123456789abcdef") != "" || hex == "" {
		return nil
	}
	for _, e := range entries {
		img, err := s.Describe(e)
		if err == nil && strings.HasPrefix(img.ID.Encoded(), hex) {
			return []Entry{e}
		}
	}
	return nil
}

// Load reads an entry's image. It is ErrNotFound if blobs or unpacked layers
// are missing: the image must be fetched or unpacked again.
func (s *Store) Load(e Entry) (image.Image, error) {
	img, err := s.Describe(e)
	if err != nil {
		return image.Image{}, err
	}
	for _, l := range img.Layers {
		if !s.HasLayer(l.DiffID) {
			return image.Image{}, fmt.Errorf("layer %s of image %s is not unpacked: %w", l.DiffID, e.Ref, ErrNotFound)
		}
	}
	return img, nil
}

// Describe reads an image's manifest and configuration, once.
func (s *Store) Describe(e Entry) (image.Image, error) {
	s.mu.Lock()
	img, ok := s.loaded[e.Manifest.Digest]
	s.mu.Unlock()
	if !ok {
		var err error
		if img, err = s.parse(e.Manifest.Digest); err != nil {
			return image.Image{}, fmt.Errorf("read image %s: %w", e.Ref, err)
		}
		s.mu.Lock()
		s.loaded[e.Manifest.Digest] = img
		s.mu.Unlock()
	}
	img.Ref, img.Digest = e.Ref, e.Source
	return img, nil
}

func (s *Store) parse(manifest digest.Digest) (image.Image, error) {
	b, err := s.ReadBlob(manifest)
	if err != nil {
		return image.Image{}, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return image.Image{}, fmt.Errorf("parse manifest %s: %w", manifest, err)
	}
	config, err := s.ReadBlob(m.Config.Digest)
	if err != nil {
		return image.Image{}, err
	}
	return s.Assemble(manifest, m, config)
}

// Assemble makes an image of its manifest and configuration blob, with the
// directories that its layers have or will have in the store.
func (s *Store) Assemble(manifest digest.Digest, m ocispec.Manifest, config []byte) (image.Image, error) {
	f, err := image.ParseFile(config)
	if err != nil {
		return image.Image{}, err
	}
	if len(f.RootFS.DiffIDs) != len(m.Layers) {
		return image.Image{}, fmt.Errorf("manifest has %d layers, configuration has %d", len(m.Layers), len(f.RootFS.DiffIDs))
	}
	img := image.Image{
		ID: m.Config.Digest, Digest: manifest, Manifest: manifest, Config: f.Config,
		Platform: image.FormatPlatform(f.Platform),
	}
	if f.Created != nil {
		img.Created = *f.Created
	}
	for i, l := range m.Layers {
		if err := l.Digest.Validate(); err != nil {
			return image.Image{}, fmt.Errorf("layer %d: digest %q: %w", i, l.Digest, err)
		}
		diffID := f.RootFS.DiffIDs[i]
		img.Layers = append(img.Layers, image.Layer{
			Digest: l.Digest, DiffID: diffID, MediaType: l.MediaType, Size: l.Size, Dir: s.LayerDir(diffID),
		})
		img.Size += l.Size
	}
	return img, nil
}

// List gives every image whose description can be read.
func (s *Store) List(ctx context.Context) ([]image.Image, error) {
	entries, err := s.entries()
	if err != nil {
		return nil, err
	}
	images := make([]image.Image, 0, len(entries))
	for _, e := range entries {
		img, err := s.Describe(e)
		if errors.Is(err, ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		images = append(images, img)
	}
	return images, nil
}
