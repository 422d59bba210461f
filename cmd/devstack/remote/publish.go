package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image"
	"devstack/engine/image/registry"
)

// Publication is what Publish puts into a registry.
type Publication struct {
	Ref     image.Reference
	Files   []File
	Images  []image.Reference // copied beside the project: an application
	OCI     OCIVersion        // empty: 1.1, or 1.0 where that is refused
	Version string            // of Compose, in annotations
	Now     time.Time
	Environ []string
	// Copying is told of each image, if set.
	Copying func(image.Reference)
}

// Published is what became of it.
type Published struct {
	Digest   digest.Digest
	Fallback bool // the registry refused OCI 1.1
}

// Publish puts files, and then the manifest that names them, into a registry.
func Publish(ctx context.Context, p Publication) (Published, error) {
	c := registry.New(registry.Options{Environ: p.Environ})
	defer c.Close()
	pub := &publisher{Publication: p, client: c}
	out, err := pub.run(ctx)
	if err != nil && ctx.Err() == nil {
		err = worded(err, registry.ExplainPush(p.Ref, err))
	}
	return out, err
}

type publisher struct {
	Publication
	client *registry.Client
	to     *registry.Target
}

func (p *publisher) run(ctx context.Context) (out Published, err error) {
	if p.to, err = p.client.Target(ctx, p.Ref); err != nil {
		return out, err
	}
	if err := p.upload(ctx, emptyConfig); err != nil {
		return out, err
	}
	for _, f := range p.Files {
		if err := p.upload(ctx, f.Content); err != nil {
			return out, err
		}
	}
	oci := p.OCI
	if oci == "" {
		oci = OCI11
	}
	d, err := p.manifest(ctx, oci)
	if p.OCI == "" && refusesForm(err) {
		out.Fallback = true
		d, err = p.manifest(ctx, OCI10)
	}
	if err != nil {
		return out, err
	}
	out.Digest = d.Digest
	if len(p.Images) > 0 {
		err = p.application(ctx, d)
	}
	return out, err
}

// refusesForm says that a registry did not like a manifest as such.
func refusesForm(err error) bool {
	status := (*registry.StatusError)(nil)
	if !errors.As(err, &status) {
		return false
	}
	return status.Status >= 400 && status.Status < 500 && status.Status != 401 && status.Status != 403 && status.Status != 407
}

func (p *publisher) manifest(ctx context.Context, oci OCIVersion) (ocispec.Descriptor, error) {
	data, err := manifest(p.Files, oci, p.Version, p.Now)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d, err := p.to.Manifest(ctx, p.Ref.Tag, ocispec.MediaTypeImageManifest, data)
	if oci == OCI11 {
		d.ArtifactType = ProjectType
	}
	return d, err
}

func (p *publisher) upload(ctx context.Context, content []byte) error {
	d := ocispec.Descriptor{MediaType: "application/octet-stream", Digest: digest.FromBytes(content), Size: int64(len(content))}
	if has, err := p.to.Has(ctx, d.Digest); err != nil || has {
		return err
	}
	return p.to.Upload(ctx, d, func(offset int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content[offset:])), nil
	}, nil)
}

// application copies the images into the repository, and adds an index of
// them that points at the project.
func (p *publisher) application(ctx context.Context, project ocispec.Descriptor) error {
	notes := map[string]string{versionNote: p.Version}
	project.Annotations = notes
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Subject: &project, Annotations: notes, Manifests: []ocispec.Descriptor{},
	}
	for _, ref := range p.Images {
		if p.Copying != nil {
			p.Copying(ref)
		}
		from, err := p.client.Repository(ctx, ref)
		if err != nil {
			return err
		}
		want := ref.Tag
		if ref.Digest != "" {
			want = ref.Digest.String()
		}
		d, err := p.copyManifest(ctx, from, want)
		if err != nil {
			return fmt.Errorf("copy image %s: %w", ref.Familiar(), err)
		}
		index.Manifests = append(index.Manifests, d)
	}
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	_, err = p.to.Manifest(ctx, digest.FromBytes(data).String(), index.MediaType, data)
	return err
}

// copyManifest copies what a manifest or index names, then itself.
func (p *publisher) copyManifest(ctx context.Context, from *registry.Repository, tagOrDigest string) (ocispec.Descriptor, error) {
	data, d, err := from.Manifest(ctx, tagOrDigest)
	if err != nil {
		return d, err
	}
	if has, err := p.to.HasManifest(ctx, d.Digest); err != nil || has {
		return d, err
	}
	var parts struct {
		Manifests []ocispec.Descriptor `json:"manifests"`
		Config    *ocispec.Descriptor  `json:"config"`
		Layers    []ocispec.Descriptor `json:"layers"`
	}
	if err := json.Unmarshal(data, &parts); err != nil {
		return d, fmt.Errorf("parse manifest: %w", err)
	}
	for _, m := range parts.Manifests {
		if _, err := p.copyManifest(ctx, from, m.Digest.String()); err != nil {
			return d, err
		}
	}
	if parts.Config != nil {
		parts.Layers = append(parts.Layers, *parts.Config)
	}
	for _, l := range parts.Layers {
		if err := p.copyBlob(ctx, from, l); err != nil {
			return d, err
		}
	}
	_, err = p.to.Manifest(ctx, d.Digest.String(), d.MediaType, data)
	return d, err
}

// copyBlob passes a blob on; the registry verifies it.
func (p *publisher) copyBlob(ctx context.Context, from *registry.Repository, d ocispec.Descriptor) error {
	if has, err := p.to.Has(ctx, d.Digest); err != nil || has {
		return err
	}
	return p.to.Upload(ctx, d, func(offset int64) (io.ReadCloser, error) {
		body, err := from.Blob(ctx, d)
		if err != nil {
			return nil, err
		}
		if _, err := io.CopyN(io.Discard, body, offset); err != nil {
			body.Close()
			return nil, err
		}
		return body, nil
	}, nil)
}
