package fetch

import (
	"context"
	"fmt"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image"
	"devstack/engine/image/layer"
	"devstack/engine/image/registry"
	"devstack/engine/image/store"
)

// maxMeta bounds manifests and configurations.
const maxMeta = 8 << 20

// readMeta reads a small blob and holds it to its descriptor.
func readMeta(r io.Reader, d ocispec.Descriptor) ([]byte, error) {
	if err := d.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("digest %q: %w", d.Digest, err)
	}
	b, err := io.ReadAll(io.LimitReader(r, maxMeta+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxMeta {
		return nil, fmt.Errorf("blob %s is larger than %d bytes", d.Digest, maxMeta)
	}
	if got := d.Digest.Algorithm().FromBytes(b); got != d.Digest {
		return nil, &layer.DigestError{What: "manifest or configuration", Want: d.Digest, Got: got}
	}
	return b, nil
}

// registrySource is an image in a registry.
type registrySource struct {
	repo   *registry.Repository
	ref    image.Reference
	client *registry.Client // to close, if it is ours
}

func (s *registrySource) root(ctx context.Context) ([]byte, ocispec.Descriptor, error) {
	what := s.ref.Tag
	if s.ref.Digest != "" {
		what = string(s.ref.Digest)
	}
	return s.repo.Manifest(ctx, what)
}

func (s *registrySource) meta(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	if isManifest(d.MediaType) {
		b, _, err := s.repo.Manifest(ctx, string(d.Digest))
		return b, err
	}
	r, err := s.repo.Blob(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readMeta(r, d)
}

func isManifest(mediaType string) bool {
	switch mediaType {
	case ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, registry.DockerManifest, registry.DockerManifestList:
		return true
	}
	return false
}

func (s *registrySource) blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	return s.repo.Blob(ctx, d)
}

func (s *registrySource) explain(err error) error { return registry.Explain(s.ref, err) }

func (s *registrySource) Close() {
	if s.client != nil {
		s.client.Close()
	}
}

// storeSource is an image of the store itself.
type storeSource struct {
	s *store.Store
	e store.Entry
}

func (s storeSource) root(context.Context) ([]byte, ocispec.Descriptor, error) {
	b, err := s.s.ReadBlob(s.e.Manifest.Digest)
	return b, s.e.Manifest, err
}

func (s storeSource) meta(_ context.Context, d ocispec.Descriptor) ([]byte, error) {
	return s.s.ReadBlob(d.Digest)
}

func (s storeSource) blob(_ context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	return s.s.OpenBlob(d.Digest)
}

func (s storeSource) explain(err error) error { return err }
func (s storeSource) Close()                  {}

// unpackable says whether the store has all that an entry's image is made of,
// as blobs or unpacked.
func (j *job) unpackable(e store.Entry) bool {
	img, err := j.store.Describe(e)
	if err != nil {
		return false
	}
	for _, l := range img.Layers {
		if !j.store.HasLayer(l.DiffID) && !j.store.HasBlob(l.Digest, l.Size) {
			return false
		}
	}
	return true
}
