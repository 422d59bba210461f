package fetch

import (
	"bytes"
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

// dockerSource is an image in what `docker save` writes: it has no manifest
// in OCI's sense, so one is made up from its configuration and layers.
type dockerSource struct {
	files files
	ref   image.Reference
	names map[digest.Digest]string // blob -> file of the archive
}

// savedImage is one entry of manifest.json.
type savedImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func openDockerArchive(ctx context.Context, s *store.Store, ref image.Reference, limits layer.Limits) (source, error) {
	t, err := openArchive(ctx, s, ref.File, limits)
	if err != nil {
		return nil, err
	}
	return &dockerSource{files: t, ref: ref, names: map[digest.Digest]string{}}, nil
}

func (s *dockerSource) Close()                  { s.files.Close() }
func (s *dockerSource) explain(err error) error { return err }

func (s *dockerSource) read(name string) ([]byte, error) {
	r, size, err := s.files.open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > maxMeta {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxMeta)
	}
	return io.ReadAll(r)
}

func (s *dockerSource) root(ctx context.Context) ([]byte, ocispec.Descriptor, error) {
	none := ocispec.Descriptor{}
	list, err := s.read("manifest.json")
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = fmt.Errorf("%s is no docker archive: it has no manifest.json", s.ref.File)
		}
		return nil, none, err
	}
	var saved []savedImage
	if err := json.Unmarshal(list, &saved); err != nil {
		return nil, none, fmt.Errorf("parse manifest.json: %w", err)
	}
	one, err := pickSaved(saved, s.ref.Inner)
	if err != nil {
		return nil, none, err
	}
	config, err := s.read(one.Config)
	if err != nil {
		return nil, none, err
	}
	f, err := image.ParseFile(config)
	if err != nil {
		return nil, none, err
	}
	if len(f.RootFS.DiffIDs) != len(one.Layers) {
		return nil, none, fmt.Errorf("manifest.json has %d layers, the configuration %d", len(one.Layers), len(f.RootFS.DiffIDs))
	}
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Layers: []ocispec.Descriptor{}}
	m.SchemaVersion = 2
	m.Config = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(config), Size: int64(len(config))}
	s.names[m.Config.Digest] = one.Config
	for i, name := range one.Layers {
		d, err := s.describe(ctx, name, f.RootFS.DiffIDs[i])
		if err != nil {
			return nil, none, err
		}
		s.names[d.Digest] = name
		m.Layers = append(m.Layers, d)
	}
	raw, err := json.Marshal(m)
	return raw, ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}, err
}

// describe tells a layer's descriptor. An uncompressed one's digest is its
// diff-id; others are read through.
func (s *dockerSource) describe(ctx context.Context, name string, diffID digest.Digest) (ocispec.Descriptor, error) {
	r, size, err := s.files.open(name)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer r.Close()
	head := make([]byte, 6)
	n, err := io.ReadFull(r, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return ocispec.Descriptor{}, err
	}
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: diffID, Size: size}
	switch layer.Detect(head[:n]) {
	case layer.None:
		return d, nil
	case layer.Gzip:
		d.MediaType = ocispec.MediaTypeImageLayerGzip
	case layer.Zstd:
		d.MediaType = ocispec.MediaTypeImageLayerZstd
	}
	d.Digest, err = digest.FromReader(ctxReader{ctx, io.MultiReader(bytes.NewReader(head[:n]), r)})
	return d, err
}

func pickSaved(saved []savedImage, inner string) (savedImage, error) {
	if n, ok := strings.CutPrefix(inner, "@"); ok {
		if i, err := strconv.Atoi(n); err == nil && i >= 0 && i < len(saved) {
			return saved[i], nil
		}
	}
	var tags []string
	for _, one := range saved {
		tags = append(tags, one.RepoTags...)
		if inner != "" && slices.ContainsFunc(one.RepoTags, func(t string) bool {
			return image.FamiliarString(t) == image.FamiliarString(inner)
		}) {
			return one, nil
		}
	}
	switch {
	case len(saved) == 0:
		return savedImage{}, errors.New("archive has no image")
	case inner != "":
		return savedImage{}, fmt.Errorf("archive has no image %q (it has: %s)", inner, strings.Join(tags, ", "))
	case len(saved) > 1:
		return savedImage{}, fmt.Errorf("archive has several images; add the name of one after a colon (%s)", strings.Join(tags, ", "))
	}
	return saved[0], nil
}

func (s *dockerSource) meta(_ context.Context, d ocispec.Descriptor) ([]byte, error) {
	return s.read(s.names[d.Digest])
}

func (s *dockerSource) blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	r, _, err := s.files.open(s.names[d.Digest])
	if err != nil {
		return nil, err
	}
	return io.NopCloser(ctxReader{ctx, r}), nil
}
