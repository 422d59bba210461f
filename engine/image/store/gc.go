package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image"
)

// Remove takes the name ref, for every platform, out of the store. The
// image's content goes with the next GC unless another name reaches it.
func (s *Store) Remove(ctx context.Context, ref string) error {
	e, err := s.Find(ref, "")
	if err != nil {
		return err
	}
	_, err = s.Drop(ctx, func(o Entry) bool { return o.Ref == e.Ref })
	return err
}

// Drop takes the names that match tells out of the store, all at once, and
// gives them.
func (s *Store) Drop(ctx context.Context, match func(Entry) bool) ([]Entry, error) {
	var gone []Entry
	err := s.change(ctx, func(entries []Entry) []Entry {
		gone = nil
		return slices.DeleteFunc(entries, func(e Entry) bool {
			drop := match(e)
			if drop {
				gone = append(gone, e)
			}
			return drop
		})
	})
	return gone, err
}

// Collected says what a GC has freed.
type Collected struct {
	Blobs, Layers int
	Bytes         int64 // of the blobs
	LayerBytes    int64 // of the unpacked layers
}

// Kept is what stays beside that which names reach.
type Kept struct {
	Images []image.Image   // with their blobs and layers
	Layers []digest.Digest // diff-ids
	Blobs  []digest.Digest
}

// GC removes every blob and unpacked layer that no name reaches. inUse are
// images that containers run on: their layers stay whether named or not. It
// waits until nobody writes to the store.
func (s *Store) GC(ctx context.Context, inUse ...image.Image) (Collected, error) {
	return s.Collect(ctx, func() (Kept, error) { return Kept{Images: inUse}, nil })
}

// Collect is GC for what may be taken into use meanwhile: kept is asked once
// nobody writes to the store any more. Who starts to use an image holds Begin
// from finding it until kept would tell of it.
func (s *Store) Collect(ctx context.Context, kept func() (Kept, error)) (Collected, error) {
	unlock, err := s.lock(ctx, "lock", true)
	if err != nil {
		return Collected{}, err
	}
	defer unlock()
	return s.collect(ctx, kept)
}

// TryCollect is Collect that does nothing if somebody writes to the store.
func (s *Store) TryCollect(ctx context.Context, kept func() (Kept, error)) (c Collected, done bool, err error) {
	unlock, err := s.tryLockExclusive()
	if err != nil || unlock == nil {
		return Collected{}, false, err
	}
	defer unlock()
	c, err = s.collect(ctx, kept)
	return c, true, err
}

func (s *Store) collect(ctx context.Context, kept func() (Kept, error)) (Collected, error) {
	blobs, layers, err := s.reachable()
	if err != nil {
		return Collected{}, err
	}
	keep, err := kept()
	if err != nil {
		return Collected{}, fmt.Errorf("collect garbage: ask what is in use: %w", err)
	}
	keep.mark(blobs, layers)
	s.mu.Lock()
	clear(s.loaded)
	s.mu.Unlock()
	return s.sweep(ctx, blobs, layers)
}

func (k Kept) mark(blobs, layers map[digest.Digest]bool) {
	for _, img := range k.Images {
		blobs[img.Manifest], blobs[img.Digest], blobs[img.ID] = true, true, true
		for _, l := range img.Layers {
			blobs[l.Digest], layers[l.DiffID] = true, true
		}
	}
	for _, d := range k.Blobs {
		blobs[d] = true
	}
	for _, d := range k.Layers {
		layers[d] = true
	}
}

// sweep removes the rest. Whatever is cut short is finished by the next one.
func (s *Store) sweep(ctx context.Context, blobs, layers map[digest.Digest]bool) (Collected, error) {
	var c Collected
	err := eachDigest(filepath.Join(s.images, "blobs"), func(d digest.Digest, fi os.FileInfo) error {
		if blobs[d] {
			return nil
		}
		c.Blobs, c.Bytes = c.Blobs+1, c.Bytes+fi.Size()
		return errors.Join(s.RemoveBlob(d), ctx.Err())
	})
	if err != nil {
		return c, fmt.Errorf("collect blobs: %w", err)
	}
	err = eachDigest(s.layers, func(d digest.Digest, _ os.FileInfo) error {
		if layers[d] {
			return nil
		}
		size, err := s.LayerSize(ctx, d)
		if err != nil && ctx.Err() != nil {
			return err
		}
		c.Layers, c.LayerBytes = c.Layers+1, c.LayerBytes+size
		return s.removeLayer(d)
	})
	if err != nil {
		return c, fmt.Errorf("collect layers: %w", err)
	}
	return c, nil
}

// reachable walks from the names to everything they stand for.
func (s *Store) reachable() (blobs, layers map[digest.Digest]bool, err error) {
	entries, err := s.entries()
	if err != nil {
		return nil, nil, err
	}
	blobs, layers = map[digest.Digest]bool{}, map[digest.Digest]bool{}
	for _, e := range entries {
		blobs[e.Source], blobs[e.Manifest.Digest] = true, true
		b, err := s.ReadBlob(e.Manifest.Digest)
		if errors.Is(err, ErrNotFound) {
			continue // damaged: nothing can be reached through it
		}
		if err != nil {
			return nil, nil, err
		}
		var m ocispec.Manifest
		if err := json.Unmarshal(b, &m); err != nil {
			return nil, nil, fmt.Errorf("parse manifest %s: %w", e.Manifest.Digest, err)
		}
		blobs[m.Config.Digest] = true
		for _, l := range m.Layers {
			blobs[l.Digest] = true
		}
		if img, err := s.Describe(e); err == nil {
			for _, l := range img.Layers {
				layers[l.DiffID] = true
			}
		}
	}
	return blobs, layers, nil
}

// Sizes are what all blobs and all unpacked layers take, in bytes, garbage
// included.
func (s *Store) Sizes(ctx context.Context) (blobs, layers int64, err error) {
	err = eachDigest(filepath.Join(s.images, "blobs"), func(_ digest.Digest, fi os.FileInfo) error {
		blobs += fi.Size()
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	err = eachDigest(s.layers, func(d digest.Digest, _ os.FileInfo) error {
		n, err := s.LayerSize(ctx, d)
		layers += n
		return err
	})
	return blobs, layers, err
}

// eachDigest visits dir/ALG/HEX for the algorithms of OCI.
func eachDigest(dir string, visit func(digest.Digest, os.FileInfo) error) error {
	for _, alg := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		entries, err := os.ReadDir(filepath.Join(dir, alg.String()))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			d := digest.NewDigestFromEncoded(alg, e.Name())
			if d.Validate() != nil {
				continue
			}
			fi, err := e.Info()
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			if err := visit(d, fi); err != nil {
				return err
			}
		}
	}
	return nil
}
