package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image"
	"devstack/engine/image/registry"
)

const ociPrefix = "oci://"

func isOCI(ref string) bool { return strings.HasPrefix(ref, ociPrefix) }

// ParseReference reads REPOSITORY[:TAG|@DIGEST], with or without oci://.
func ParseReference(s string) (image.Reference, error) {
	ref, err := image.ParseReference("docker://" + strings.TrimPrefix(s, ociPrefix))
	if err != nil {
		return ref, fmt.Errorf("%q does not name a repository: %w", s, err)
	}
	return ref, nil
}

// artifactSource is a published project.
type artifactSource struct {
	ref     image.Reference
	environ []string
	digest  digest.Digest
}

func newArtifactSource(s string, environ []string) (*artifactSource, error) {
	ref, err := ParseReference(s)
	return &artifactSource{ref: ref, environ: environ, digest: ref.Digest}, err
}

func (a *artifactSource) folder() string { return filepath.Join("oci", a.digest.Encoded()) }

func (a *artifactSource) fixed() string {
	if a.digest == "" {
		return ""
	}
	return a.folder()
}

func (a *artifactSource) file(dir string) (string, error) {
	return filepath.Join(dir, "compose.yaml"), nil
}

func (a *artifactSource) name() string { return path.Base(a.ref.Path) }

func (a *artifactSource) resolve(ctx context.Context) (string, error) {
	err := a.open(ctx, func(repo *registry.Repository) error {
		_, d, err := repo.Manifest(ctx, a.ref.Tag)
		a.digest = d.Digest
		return err
	})
	if err != nil {
		return "", err
	}
	return a.folder(), nil
}

func (a *artifactSource) download(ctx context.Context, dir string) error {
	return a.open(ctx, func(repo *registry.Repository) error {
		data, d, err := repo.Manifest(ctx, a.digest.String())
		if err != nil {
			return err
		}
		if d.MediaType == ocispec.MediaTypeImageIndex || d.MediaType == registry.DockerManifestList {
			if data, err = chosen(ctx, repo, data); err != nil {
				return err
			}
		}
		m, err := parseManifest(data)
		if err != nil {
			return err
		}
		contents := make([][]byte, len(m.Layers))
		for i, l := range m.Layers {
			if contents[i], err = blob(ctx, repo, l); err != nil {
				return err
			}
		}
		return unpack(dir, m, contents)
	})
}

// chosen is the manifest of the project in an index that also has its images.
func chosen(ctx context.Context, repo *registry.Repository, data []byte) ([]byte, error) {
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("parse index: %w", err)
	}
	for _, d := range index.Manifests {
		if d.ArtifactType == ProjectType {
			data, _, err := repo.Manifest(ctx, d.Digest.String())
			return data, err
		}
	}
	return nil, errors.New("it is no published project, but an image for several platforms")
}

// blob reads a blob whole and verifies it.
func blob(ctx context.Context, repo *registry.Repository, d ocispec.Descriptor) ([]byte, error) {
	if err := d.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("file %s: %w", layerName(d), err)
	}
	body, err := repo.Blob(ctx, d)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, maxLayer+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) != d.Size || d.Digest.Algorithm().FromBytes(data) != d.Digest {
		return nil, fmt.Errorf("file %s is not what its digest says: it was damaged on its way, or in the registry", layerName(d))
	}
	return data, nil
}

// open asks the registry with the caller's credentials and words its errors.
func (a *artifactSource) open(ctx context.Context, ask func(*registry.Repository) error) error {
	c := registry.New(registry.Options{Environ: a.environ})
	defer c.Close()
	repo, err := c.Repository(ctx, a.ref)
	if err == nil {
		err = ask(repo)
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	return worded(err, registry.Explain(a.ref, err))
}

// worded takes the words of an explanation, which is about images, for a
// project.
func worded(err, explained error) error {
	e := (*image.Error)(nil)
	if !errors.As(explained, &e) {
		return err
	}
	out := e.Err
	if unreachable(err) {
		out = fmt.Errorf("%w (%w)", errUnreachable, e.Err)
	}
	hint, _, _ := strings.Cut(e.Hint, "; images that are in the store")
	if hint != "" {
		out = fmt.Errorf("%w\nhint: %s", out, hint)
	}
	return out
}

// unreachable says that there was no answer, or none of use.
func unreachable(err error) bool {
	if status := (*registry.StatusError)(nil); errors.As(err, &status) {
		return status.Status >= 500
	}
	timeout := net.Error(nil)
	op, dns := (*net.OpError)(nil), (*net.DNSError)(nil)
	return errors.As(err, &op) || errors.As(err, &dns) || errors.As(err, &timeout) && timeout.Timeout()
}
