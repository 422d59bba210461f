package fetch

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image"
	"devstack/engine/image/registry"
)

// Resolved is what a reference stands for in its registry at the moment.
type Resolved struct {
	Digest    digest.Digest            // of the index, or of the only manifest
	Platforms map[string]digest.Digest // "linux/amd64" -> manifest
}

// Resolve asks the registry what ref stands for, and fetches nothing more.
func Resolve(ctx context.Context, ref string, c *registry.Client) (Resolved, error) {
	r, err := image.ParseReference(ref)
	if err != nil {
		return Resolved{}, err
	}
	if r.Transport != image.Docker {
		return Resolved{}, &image.Error{Ref: r.String(), Op: "resolve", Err: fmt.Errorf("it lies in no registry")}
	}
	j := job{ref: r, short: image.Short(ref), o: Options{Registry: c}}
	src, err := j.openRegistry(ctx)
	if err != nil {
		return Resolved{}, err
	}
	defer src.Close()
	res, err := resolve(ctx, src)
	return res, src.explain(err)
}

func resolve(ctx context.Context, src source) (Resolved, error) {
	top, desc, err := src.root(ctx)
	if err != nil {
		return Resolved{}, err
	}
	var probe struct {
		ocispec.Manifest
		Manifests []ocispec.Descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(top, &probe); err != nil {
		return Resolved{}, fmt.Errorf("parse manifest %s: %w", desc.Digest, err)
	}
	res := Resolved{Digest: desc.Digest, Platforms: map[string]digest.Digest{}}
	if probe.Manifests == nil {
		if err := checkManifest(probe.Manifest); err != nil {
			return Resolved{}, err
		}
		b, err := src.meta(ctx, probe.Config)
		if err != nil {
			return Resolved{}, fmt.Errorf("get configuration: %w", err)
		}
		f, err := image.ParseFile(b)
		if err != nil {
			return Resolved{}, err
		}
		if name := platformName(f.Platform); name != "" {
			res.Platforms[name] = desc.Digest
		}
		return res, nil
	}
	for _, m := range probe.Manifests {
		// Attestations have no platform of their own; of what is there twice
		// the first counts, as when one is chosen.
		if m.Platform == nil || m.Platform.OS == "unknown" || m.Platform.OS == "" {
			continue
		}
		if name := platformName(*m.Platform); name != "" && res.Platforms[name] == "" {
			res.Platforms[name] = m.Digest
		}
	}
	return res, nil
}

// platformName is the one form of a platform's name, whichever of its names a
// registry has; "" where it says none.
func platformName(p ocispec.Platform) string {
	name := image.FormatPlatform(p)
	if name == "" {
		return "" // not the host's: a lock is the same on all machines
	}
	p, err := image.ParsePlatform(name)
	if err != nil {
		return ""
	}
	return image.FormatPlatform(p)
}
