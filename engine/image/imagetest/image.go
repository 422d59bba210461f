package imagetest

import (
	"bytes"
	"encoding/json"
	"io"
	"runtime"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"devstack/engine/image"
)

// Spec describes an image; only Layers is needed.
type Spec struct {
	Config       image.Config
	Layers       []Layer
	Compression  string // "gzip" (the default), "zstd", "none"
	Architecture string // default: the host's
	Variant      string
}

// New makes an image of a configuration and layers, compressed with gzip.
func New(t testing.TB, config image.Config, layers ...Layer) v1.Image {
	t.Helper()
	return Build(t, Spec{Config: config, Layers: layers})
}

// Build makes an image.
func Build(t testing.TB, s Spec) v1.Image {
	t.Helper()
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	file := &v1.ConfigFile{OS: "linux", Architecture: s.Architecture, Variant: s.Variant, Config: configOf(t, s.Config), RootFS: v1.RootFS{Type: "layers"}}
	if file.Architecture == "" {
		file.Architecture = runtime.GOARCH
	}
	file.Created = v1.Time{Time: Epoch().UTC()}
	img, err := mutate.ConfigFile(img, file)
	if err != nil {
		t.Fatalf("make image: %v", err)
	}
	for _, l := range s.Layers {
		if img, err = mutate.AppendLayers(img, layerOf(t, l, s.Compression)); err != nil {
			t.Fatalf("make image: %v", err)
		}
	}
	return img
}

// Index makes an image of several platforms.
func Index(t testing.TB, images ...v1.Image) v1.ImageIndex {
	t.Helper()
	var index v1.ImageIndex = empty.Index
	for _, img := range images {
		f, err := img.ConfigFile()
		if err != nil {
			t.Fatalf("make index: %v", err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        img,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: f.OS, Architecture: f.Architecture, Variant: f.Variant}},
		})
	}
	return index
}

func configOf(t testing.TB, c image.Config) v1.Config {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatalf("make image: %v", err)
	}
	var out v1.Config
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatalf("make image: %v", err)
	}
	return out
}

func layerOf(t testing.TB, l Layer, comp string) v1.Layer {
	t.Helper()
	how, kind := compression.GZip, types.OCILayer
	switch comp {
	case "zstd":
		how, kind = compression.ZStd, types.OCILayerZStd
	case "none":
		how, kind = compression.None, types.OCIUncompressedLayer
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(l)), nil
	}, tarball.WithCompression(how), tarball.WithMediaType(kind))
	if err != nil {
		t.Fatalf("make layer: %v", err)
	}
	return layer
}

// SaveOCI writes an image into the OCI layout at dir, making that where it is
// missing, and returns its reference. An empty name leaves it unnamed.
func SaveOCI(t testing.TB, dir, name string, img v1.Image) string {
	t.Helper()
	p, err := layout.FromPath(dir)
	if err != nil {
		p, err = layout.Write(dir, empty.Index)
	}
	var opts []layout.Option
	ref := "oci:" + dir
	if name != "" {
		opts = append(opts, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": name}))
		ref += ":" + name
	}
	if err == nil {
		err = p.AppendImage(img, opts...)
	}
	if err != nil {
		t.Fatalf("save OCI layout: %v", err)
	}
	return ref
}

// SaveOCIArchive writes an image as a tar file of an OCI layout.
func SaveOCIArchive(t testing.TB, file, name string, img v1.Image) string {
	t.Helper()
	dir := t.TempDir()
	SaveOCI(t, dir, name, img)
	tarDir(t, dir, file)
	ref := "oci-archive:" + file
	if name != "" {
		ref += ":" + name
	}
	return ref
}

// SaveDockerArchive writes an image as docker save does.
func SaveDockerArchive(t testing.TB, file, tag string, img v1.Image) string {
	t.Helper()
	ref, err := name.NewTag(tag)
	if err == nil {
		err = tarball.WriteToFile(file, ref, img)
	}
	if err != nil {
		t.Fatalf("save docker archive: %v", err)
	}
	return "docker-archive:" + file
}
