package build

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image"
	"devstack/engine/image/store"
)

// writeLayout makes dir an OCI image layout with img as its only image. What
// an export before left there stays as long as it is needed; blobs that are
// not go last, so whoever reads meanwhile finds either image.
func writeLayout(ctx context.Context, s *store.Store, img image.Image, dir string) error {
	blobs := filepath.Join(dir, "blobs/sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	kept := map[string]bool{}
	put := func(d digest.Digest, size int64) error {
		kept[d.Encoded()] = true
		if fi, err := os.Stat(filepath.Join(blobs, d.Encoded())); err == nil && (size < 0 || fi.Size() == size) {
			return nil
		}
		in, err := s.OpenBlob(d)
		if err != nil {
			return err
		}
		defer in.Close()
		return replaceFile(ctx, filepath.Join(blobs, d.Encoded()), in)
	}
	for _, l := range img.Layers {
		if err := put(l.Digest, l.Size); err != nil {
			return fmt.Errorf("write layer: %w", err)
		}
	}
	raw, err := s.ReadBlob(img.Manifest)
	if err != nil {
		return err
	}
	if err := errors.Join(put(img.ID, -1), put(img.Manifest, int64(len(raw)))); err != nil {
		return err
	}
	index, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: img.Manifest, Size: int64(len(raw))}},
	})
	if err != nil {
		return err
	}
	layout := []byte(`{"imageLayoutVersion":"` + ocispec.ImageLayoutVersion + `"}`)
	if err := replaceFile(ctx, filepath.Join(dir, ocispec.ImageLayoutFile), bytes.NewReader(layout)); err != nil {
		return err
	}
	if err := replaceFile(ctx, filepath.Join(dir, ocispec.ImageIndexFile), bytes.NewReader(index)); err != nil {
		return err
	}
	return removeOthers(blobs, kept)
}

func removeOthers(dir string, kept map[string]bool) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if !kept[e.Name()] {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// replaceFile writes a file beside path and then renames it.
func replaceFile(ctx context.Context, path string, in io.Reader) error {
	tmp := filepath.Join(filepath.Dir(path), ".tmp-"+rand.Text())
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	_, err = io.Copy(f, in)
	if err := errors.Join(err, f.Close(), ctx.Err()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
