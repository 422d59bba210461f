package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	_ "crypto/sha256" // go-digest finds it by registration
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Programs in the image.
const (
	idlePath  = "/idle"
	truePath  = "/true"
	benchPath = "/bench"
)

// program is a file of the image.
type program struct {
	path string
	data []byte
}

// smallPrograms are idle and true.
func smallPrograms() ([]program, error) {
	if runtime.GOARCH == "amd64" {
		return []program{
			{idlePath, elfProgram(codeIdle)},
			{truePath, elfProgram(codeTrue)},
		}, nil
	}
	self, err := selfProgram()
	if err != nil {
		return nil, err
	}
	return []program{{idlePath, self.data}, {truePath, self.data}}, nil
}

func elfProgram(code string) []byte { return elfFile(machineAMD64, code) }

// selfProgram is bench itself, which must be static to run in an empty image.
func selfProgram() (program, error) {
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		return program{}, fmt.Errorf("read own program: %w", err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return program{}, errors.New("bench is linked dynamically: build it with CGO_ENABLED=0")
		}
	}
	data, err := os.ReadFile("/proc/self/exe")
	return program{benchPath, data}, err
}

// writeImage makes an OCI layout in dir with one image of one layer, and gives
// the reference by which devstack finds it.
func writeImage(dir, tag string, programs []program) (string, error) {
	layer, err := layerOf(programs)
	if err != nil {
		return "", err
	}
	config, err := configOf(programs, layer)
	if err != nil {
		return "", err
	}
	w := layoutWriter{dir: dir}
	manifest, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    w.blob(ocispec.MediaTypeImageConfig, config),
		Layers:    []ocispec.Descriptor{w.blob(ocispec.MediaTypeImageLayerGzip, compress(layer))},
	})
	if err != nil {
		return "", err
	}
	top := w.blob(ocispec.MediaTypeImageManifest, manifest)
	top.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	index, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{top},
	})
	if err != nil {
		return "", err
	}
	w.file(ocispec.ImageIndexFile, index)
	w.file(ocispec.ImageLayoutFile, []byte(`{"imageLayoutVersion":"1.0.0"}`))
	if w.err != nil {
		return "", fmt.Errorf("write image: %w", w.err)
	}
	return "oci:" + dir + ":" + tag, nil
}

func configOf(programs []program, layer []byte) ([]byte, error) {
	return json.Marshal(ocispec.Image{
		Platform: ocispec.Platform{Architecture: runtime.GOARCH, OS: "linux"},
		Config:   ocispec.ImageConfig{Cmd: []string{programs[0].path}},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layer)}},
	})
}

func layerOf(programs []program) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, p := range programs {
		head := &tar.Header{Name: p.path[1:], Mode: 0o755, Size: int64(len(p.data)), Format: tar.FormatPAX}
		if err := w.WriteHeader(head); err != nil {
			return nil, err
		}
		if _, err := w.Write(p.data); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), w.Close()
}

func compress(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(data) // to a Buffer: never fails
	w.Close()
	return b.Bytes()
}

// layoutWriter writes the files of an OCI layout and keeps the first error.
type layoutWriter struct {
	dir string
	err error
}

func (w *layoutWriter) blob(mediaType string, data []byte) ocispec.Descriptor {
	d := digest.FromBytes(data)
	w.file(filepath.Join(ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded()), data)
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

func (w *layoutWriter) file(name string, data []byte) {
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.err = errors.Join(w.err, err)
		return
	}
	w.err = errors.Join(w.err, os.WriteFile(path, data, 0o644))
}

// writeArchive makes a docker-archive, which every peer can load.
func writeArchive(path, name string, programs []program) error {
	layer, err := layerOf(programs)
	if err != nil {
		return err
	}
	config, err := configOf(programs, layer)
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]map[string]any{{
		"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"},
	}})
	if err != nil {
		return err
	}
	archive, err := layerOf([]program{
		{"/config.json", config}, {"/layer.tar", layer}, {"/manifest.json", manifest},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(path, archive, 0o644)
}
