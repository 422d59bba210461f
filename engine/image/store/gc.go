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
	return s.change(ctx, func(entries []Entry) []Entry {
		return slices.DeleteFunc(entries, func(o Entry) bool { return o.Ref == e.Ref })
	})
}

// Collected says what a GC has freed.
type Collected struct {
	Blobs, Layers int
	Bytes         int64 // of the blobs
}

// GC removes every blob and unpacked layer that no name reaches. inUse are
// images that containers run on: their layers stay whether named or not. It
// waits until nobody writes to the store.
func (s *Store) GC(ctx context.Context, inUse ...image.Image) (Collected, error) {
	unlock, err := s.lock(ctx, "lock", true)
	if err != nil {
		return Collected{}, err
	}
	defer unlock()
	blobs, layers, err := s.reachable()
	if err != nil {
		return Collected{}, err
	}
	for _, img := range inUse {
		blobs[img.Manifest], blobs[img.Digest], blobs[img.ID] = true, true, true
		for _, l := range img.Layers {
			blobs[l.Digest], layers[l.DiffID] = true, true
		}
	}
	s.mu.Lock()
	clear(s.loaded)
	s.mu.Unlock()
	var c Collected
	err = eachDigest(filepath.Join(s.images, "blobs"), func(d digest.Digest, fi os.FileInfo) error {
		if blobs[d] {
			return nil
		}
		c.Blobs, c.Bytes = c.Blobs+1, c.Bytes+fi.Size()
		return s.RemoveBlob(d)
	})
	if err != nil {
		return c, fmt.Errorf("collect blobs: %w", err)
	}
	err = eachDigest(s.layers, func(d digest.Digest, _ os.FileInfo) error {
		if layers[d] {
			return nil
		}
		c.Layers++
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
