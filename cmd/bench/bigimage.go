package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// The image that pull is measured with: about 200 MB compressed, 500 MB
// unpacked.
const (
	bigLayers  = 5
	layerFiles = 6000
	bigName    = "bench"
	bigTag     = "1"
)

// bigImage is an image as a registry has it: a manifest in memory, and files
// named by their digests.
type bigImage struct {
	dir      string
	manifest []byte
	layers   []ocispec.Descriptor
	size     int64 // of all layers
}

func makeBigImage(dir string) (*bigImage, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	img := &bigImage{dir: dir, layers: make([]ocispec.Descriptor, bigLayers)}
	plain := make([]digest.Digest, bigLayers)
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range bigLayers {
		g.Go(func() (err error) {
			img.layers[i], plain[i], err = makeLayer(dir, uint64(i))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("make image: %w", err)
	}
	for _, l := range img.layers {
		img.size += l.Size
	}
	config, err := json.Marshal(ocispec.Image{
		Platform: ocispec.Platform{Architecture: runtime.GOARCH, OS: "linux"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: plain},
	})
	if err != nil {
		return nil, err
	}
	d := digest.FromBytes(config)
	if err := os.WriteFile(filepath.Join(dir, string(d)), config, 0o644); err != nil {
		return nil, err
	}
	img.manifest, err = json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: d, Size: int64(len(config))},
		Layers:    img.layers,
	})
	return img, err
}

// makeLayer writes a layer like those of a distribution: many small files of
// text, and a few large ones that compress badly.
func makeLayer(dir string, seed uint64) (_ ocispec.Descriptor, plain digest.Digest, err error) {
	f, err := os.CreateTemp(dir, "layer-")
	if err != nil {
		return ocispec.Descriptor{}, "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	blobSum, plainSum := sha256.New(), sha256.New()
	zw := gzip.NewWriter(io.MultiWriter(f, blobSum))
	tw := tar.NewWriter(io.MultiWriter(zw, plainSum))
	if err := writeFiles(tw, seed); err != nil {
		return ocispec.Descriptor{}, "", err
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		return ocispec.Descriptor{}, "", err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return ocispec.Descriptor{}, "", err
	}
	d := digest.NewDigest(digest.SHA256, blobSum)
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: d, Size: size},
		digest.NewDigest(digest.SHA256, plainSum), os.Rename(f.Name(), filepath.Join(dir, string(d)))
}

func writeFiles(w *tar.Writer, seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 1))
	words := make([]string, 3000)
	for i := range words {
		words[i] = fmt.Sprintf("%x", r.Uint64())[:2+r.IntN(9)]
	}
	var data []byte
	for i := range layerFiles {
		size := 1000 + r.IntN(20_000)
		if i%500 == 0 {
			size = 4 << 20
		}
		data = data[:0]
		for len(data) < size {
			data = append(append(data, words[r.IntN(len(words))]...), " \n"[r.IntN(2)])
		}
		name := fmt.Sprintf("usr/share/%d/%d/file%d", seed, i/50, i)
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), Format: tar.FormatPAX}); err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// serve is a registry with this image alone, at the address that it gives,
// until it is closed.
func (img *bigImage) serve() (host string, stop func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: img}
	go server.Serve(l) // ends with Close
	return l.Addr().String(), server.Close, nil
}

func (img *bigImage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	kind, what, _ := strings.Cut(strings.TrimPrefix(rest, bigName+"/"), "/")
	switch {
	case ok && rest == "": // it is a registry
	case kind == "manifests":
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		w.Write(img.manifest) // who has gone needs no answer
	case kind == "blobs" && digest.Digest(what).Validate() == nil:
		http.ServeFile(w, r, filepath.Join(img.dir, what))
	default:
		http.NotFound(w, r)
	}
}
