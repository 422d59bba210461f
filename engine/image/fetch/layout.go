package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image"
	"devstack/engine/image/layer"
	"devstack/engine/image/store"
)

// layoutSource is an image in an OCI image layout.
type layoutSource struct {
	files files
	ref   image.Reference
}

func openLayout(ref image.Reference) (source, error) {
	root, err := os.OpenRoot(ref.File)
	if err != nil {
		return nil, err
	}
	return &layoutSource{dirFiles{root}, ref}, nil
}

func openLayoutArchive(ctx context.Context, s *store.Store, ref image.Reference, limits layer.Limits) (source, error) {
	t, err := openArchive(ctx, s, ref.File, limits)
	if err != nil {
		return nil, err
	}
	return &layoutSource{t, ref}, nil
}

func (s *layoutSource) Close() { s.files.Close() }

func (s *layoutSource) explain(err error) error { return err }

func (s *layoutSource) root(ctx context.Context) ([]byte, ocispec.Descriptor, error) {
	r, _, err := s.files.open("index.json")
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = fmt.Errorf("%s is no OCI image layout: it has no index.json", s.ref.File)
		}
		return nil, ocispec.Descriptor{}, err
	}
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, maxMeta))
	if err != nil {
		return nil, ocispec.Descriptor{}, err
	}
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, ocispec.Descriptor{}, fmt.Errorf("parse index.json: %w", err)
	}
	d, err := pick(index.Manifests, s.ref.Inner)
	if err != nil {
		return nil, d, err
	}
	if d.Digest == "" { // the index itself, over its platforms
		d = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
		return raw, d, nil
	}
	b, err := s.meta(ctx, d)
	return b, d, err
}

// pick finds the image called inner among those of a layout: by its
// annotation, its digest, or "@N" for the Nth. Without a name there must be
// only one image; an empty descriptor means that all entries are one image's
// platforms.
func pick(manifests []ocispec.Descriptor, inner string) (ocispec.Descriptor, error) {
	if n, ok := strings.CutPrefix(inner, "@"); ok {
		if i, err := strconv.Atoi(n); err == nil && i >= 0 && i < len(manifests) {
			return manifests[i], nil
		}
	}
	var names []string
	var found []ocispec.Descriptor
	for _, d := range manifests {
		mine := namesOf(d)
		names = append(names, mine...)
		if inner == "" || slices.Contains(mine, inner) || slices.Contains(mine, image.FamiliarString(inner)) || string(d.Digest) == inner {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 && inner != "":
		return ocispec.Descriptor{}, fmt.Errorf("layout has no image %q (it has: %s)", inner, strings.Join(names, ", "))
	case len(found) == 0:
		return ocispec.Descriptor{}, errors.New("layout has no image")
	case len(slices.Compact(slices.Sorted(slices.Values(names)))) > 1 && inner == "":
		return ocispec.Descriptor{}, fmt.Errorf("layout has several images; add the name of one after a colon (%s)", strings.Join(names, ", "))
	case inner == "":
		return ocispec.Descriptor{}, nil
	}
	return found[len(found)-1], nil
}

func namesOf(d ocispec.Descriptor) []string {
	var names []string
	for _, key := range []string{ocispec.AnnotationRefName, "io.containerd.image.name"} {
		if n := d.Annotations[key]; n != "" {
			names = append(names, n, image.FamiliarString(n))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (s *layoutSource) meta(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	r, err := s.blob(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readMeta(r, d)
}

func (s *layoutSource) blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	if err := d.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("digest %q: %w", d.Digest, err)
	}
	r, size, err := s.files.open("blobs/" + d.Digest.Algorithm().String() + "/" + d.Digest.Encoded())
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("blob %s is missing", short(d.Digest))
	}
	if err != nil {
		return nil, err
	}
	if d.Size > 0 && size != d.Size {
		r.Close()
		return nil, &layer.SizeError{Want: d.Size, Got: size}
	}
	return struct {
		io.Reader
		io.Closer
	}{ctxReader{ctx, r}, r}, nil
}
