package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A published project is a manifest whose layers are its files, in the form
// that Docker Compose gives it:
//
//	artifactType  ProjectType           (OCI 1.1; in 1.0 the config's type tells)
//	layers        fileType              com.docker.compose.file: compose.yaml, in the order they merge
//	              fileType              + com.docker.compose.extends: taken from by extends
//	              envFileType           com.docker.compose.envfile
const (
	ProjectType     = "application/vnd.docker.compose.project"
	emptyConfigType = "application/vnd.docker.compose.config.empty.v1+json"
	fileType        = "application/vnd.docker.compose.file+yaml"
	envFileType     = "application/vnd.docker.compose.envfile"

	versionNote = "com.docker.compose.version"
	fileNote    = "com.docker.compose.file"
	envFileNote = "com.docker.compose.envfile"
	extendsNote = "com.docker.compose.extends"

	// maxLayer is the largest file of an artifact, maxTotal of all of them
	// together, in bytes.
	maxLayer = 32 << 20
	maxTotal = 4 * maxLayer
)

// File is one file of a published project.
type File struct {
	Name    string
	Content []byte
	Env     bool // an environment file
	Extends bool // services are taken from it
}

// layer describes a file.
func (f File) layer(version string) ocispec.Descriptor {
	d := ocispec.Descriptor{
		MediaType: fileType, Digest: digest.FromBytes(f.Content), Size: int64(len(f.Content)),
		Annotations: map[string]string{versionNote: version, fileNote: f.Name},
	}
	if f.Env {
		d.MediaType, d.Annotations = envFileType, map[string]string{versionNote: version, envFileNote: f.Name}
	}
	if f.Extends {
		d.Annotations[extendsNote] = "true"
	}
	return d
}

// OCIVersion is the version of the specification that a manifest follows.
type OCIVersion string

// The versions there are; by default 1.1, and 1.0 where a registry refuses it.
const (
	OCI10 OCIVersion = "1.0"
	OCI11 OCIVersion = "1.1"
)

var emptyConfig = []byte("{}")

// manifest puts the artifact of files together.
func manifest(files []File, oci OCIVersion, version string, now time.Time) ([]byte, error) {
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config:      ocispec.Descriptor{MediaType: ocispec.MediaTypeEmptyJSON, Digest: digest.FromBytes(emptyConfig), Size: int64(len(emptyConfig)), Data: emptyConfig},
		Annotations: map[string]string{ocispec.AnnotationCreated: now.UTC().Format(time.RFC3339)},
	}
	switch oci {
	case OCI11:
		m.ArtifactType = ProjectType
	case OCI10:
		m.Config.MediaType = emptyConfigType
	default:
		return nil, fmt.Errorf("unsupported OCI version: %s (1.0 or 1.1)", oci)
	}
	for _, f := range files {
		m.Layers = append(m.Layers, f.layer(version))
	}
	return json.Marshal(m)
}

// parseManifest reads the manifest of a published project.
func parseManifest(data []byte) (ocispec.Manifest, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("parse manifest: %w", err)
	}
	kind := m.ArtifactType
	if kind == "" && m.Config.MediaType == emptyConfigType {
		kind = ProjectType
	}
	if kind != ProjectType {
		what := "an image"
		if kind != "" {
			what = kind
		}
		return m, fmt.Errorf("it is no published project, but %s", what)
	}
	total := int64(0)
	for _, l := range m.Layers {
		if l.Size < 0 || l.Size > maxLayer {
			return m, fmt.Errorf("the file %s has %d bytes, more than %d MiB", layerName(l), l.Size, maxLayer>>20)
		}
		if total += l.Size; total > maxTotal {
			return m, fmt.Errorf("its files have more than %d MiB together", maxTotal>>20)
		}
	}
	return m, nil
}

func layerName(d ocispec.Descriptor) string {
	for _, note := range []string{fileNote, envFileNote} {
		if name := d.Annotations[note]; name != "" {
			return name
		}
	}
	return d.Digest.String()
}

// unpack writes the files of an artifact to dir: those that merge as documents
// of one compose.yaml, as Compose does, the others beside it.
func unpack(dir string, m ocispec.Manifest, contents [][]byte) error {
	var project bytes.Buffer
	for i, l := range m.Layers {
		switch {
		case l.MediaType == envFileType, l.MediaType == fileType && l.Annotations[extendsNote] != "":
			if err := writeBeside(dir, layerName(l), contents[i]); err != nil {
				return err
			}
		case l.MediaType == fileType:
			if project.Len() > 0 {
				project.WriteString("\n---\n")
			}
			project.Write(contents[i])
		}
	}
	if project.Len() == 0 {
		return errors.New("the artifact has no project file")
	}
	return os.WriteFile(filepath.Join(dir, "compose.yaml"), project.Bytes(), 0o600)
}

// writeBeside trusts no name: it stays in dir, and is not the project file.
func writeBeside(dir, name string, content []byte) error {
	if name == "" || name == "compose.yaml" || strings.ContainsAny(name, `/\:`) || !filepath.IsLocal(name) {
		return fmt.Errorf("the artifact has a file with the name %q, which is not allowed", name)
	}
	return os.WriteFile(filepath.Join(dir, name), content, 0o600)
}
