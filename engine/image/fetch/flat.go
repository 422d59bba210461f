package fetch

import (
	"context"
	"io"
	"path"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image"
)

// flatFiles are those of a directory that `podman save --format docker-dir` and
// skopeo's dir: write: manifest.json is the manifest itself, and blobs lie
// beside it, named by the hex of their digests.
type flatFiles struct{ files }

func (f flatFiles) open(name string) (io.ReadCloser, int64, error) {
	return f.files.open(path.Base(name))
}

// loadFlat loads the only image of such a directory; nothing names it.
func (l *loader) loadFlat(ctx context.Context, manifest []byte) error {
	var probe struct {
		MediaType string `json:"mediaType"`
	}
	if err := parse("manifest.json", manifest, &probe); err != nil {
		return err
	}
	ref := image.Reference{Transport: image.OCIArchive, File: l.from}
	d := ocispec.Descriptor{MediaType: probe.MediaType, Digest: digest.FromBytes(manifest), Size: int64(len(manifest))}
	src := &layoutSource{files: flatFiles{l.files}, ref: ref}
	return l.transfer(ctx, rootedSource{src, manifest, d}, ref, l.o.Platform, nil)
}
