package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"devstack/engine/image"
	"devstack/engine/image/store"
)

// parallelBlobs bounds the blobs of a push that are on their way at once.
const parallelBlobs = 5

// States of a push's Progress.
const (
	Preparing = "preparing"
	Present   = "present" // the registry has it
	Mounted   = "mounted" // the registry took it over from another repository
	Pushing   = "pushing"
	Pushed    = "pushed"
)

// Result is what a push has put under the reference.
type Result struct {
	ocispec.Descriptor
	Platforms []string
	// Missing are platforms of the image's index that the store does not have
	// and that are therefore not in what was pushed.
	Missing []string
}

// Push puts what the store has of ref into its registry: one manifest, or an
// index where the store has several platforms. img is pushed where the store
// has no image of that name. report may be nil; it is called by one goroutine
// at a time. Errors are *image.Error where there is something to do.
func (c *Client) Push(ctx context.Context, s *store.Store, ref image.Reference, img image.Image, report func(store.Progress)) (Result, error) {
	end, err := s.Begin(ctx) // nothing is collected meanwhile
	if err != nil {
		return Result{}, err
	}
	defer end()
	if report == nil {
		report = func(store.Progress) {}
	}
	p := push{c: c, s: s, ref: ref}
	p.report = func(g store.Progress) {
		p.mu.Lock()
		defer p.mu.Unlock()
		g.Image = ref.String()
		report(g)
	}
	res, err := p.run(ctx, img)
	return res, explain("push", ref, err)
}

type push struct {
	c      *Client
	s      *store.Store
	ref    image.Reference
	to     *Target
	report func(store.Progress)
	images []image.Image // of the store: other places of the same blobs

	mu sync.Mutex
}

func (p *push) run(ctx context.Context, img image.Image) (Result, error) {
	p.report(store.Progress{State: Preparing})
	entries, err := p.entries(img)
	if err != nil {
		return Result{}, err
	}
	if p.images, err = p.s.List(ctx); err != nil {
		return Result{}, err
	}
	if p.to, err = p.c.Target(ctx, p.ref); err != nil {
		return Result{}, err
	}
	parts := make([]part, len(entries))
	for i, e := range entries {
		if parts[i], err = p.read(e); err != nil {
			return Result{}, err
		}
	}
	if err := p.blobs(ctx, parts); err != nil {
		return Result{}, err
	}
	return p.manifests(ctx, parts)
}

// entries are the images that the store has by the name, one a platform.
func (p *push) entries(img image.Image) ([]store.Entry, error) {
	all, err := p.s.Entries()
	if err != nil {
		return nil, err
	}
	named := slices.DeleteFunc(all, func(e store.Entry) bool { return e.Ref != p.ref.String() })
	if len(named) > 0 {
		return named, nil
	}
	if img.Manifest == "" {
		return nil, &image.AbsentError{Ref: p.ref.Familiar()}
	}
	platform, err := image.ParsePlatform(img.Platform)
	if err != nil {
		return nil, err
	}
	return []store.Entry{{Ref: img.Ref, Platform: platform, Source: img.Manifest, Manifest: ocispec.Descriptor{Digest: img.Manifest}}}, nil
}

// part is the image of one platform on its way.
type part struct {
	entry    store.Entry
	raw      []byte
	manifest ocispec.Manifest
	diffIDs  []digest.Digest
	mu       *sync.Mutex
	replaced map[int]ocispec.Descriptor // layers that go in another compression
}

func (p *push) read(e store.Entry) (part, error) {
	t := part{entry: e, mu: new(sync.Mutex), replaced: map[int]ocispec.Descriptor{}}
	var err error
	if t.raw, err = p.s.ReadBlob(e.Manifest.Digest); err != nil {
		return t, err
	}
	if err := json.Unmarshal(t.raw, &t.manifest); err != nil {
		return t, fmt.Errorf("parse manifest %s: %w", e.Manifest.Digest, err)
	}
	config, err := p.s.ReadBlob(t.manifest.Config.Digest)
	if err != nil {
		return t, err
	}
	f, err := image.ParseFile(config)
	if err != nil {
		return t, err
	}
	if len(f.RootFS.DiffIDs) != len(t.manifest.Layers) {
		return t, fmt.Errorf("manifest has %d layers, configuration has %d", len(t.manifest.Layers), len(f.RootFS.DiffIDs))
	}
	t.diffIDs = f.RootFS.DiffIDs
	return t, nil
}

// blobs brings every blob of all parts to the registry, each once.
func (p *push) blobs(ctx context.Context, parts []part) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelBlobs)
	seen := map[digest.Digest]bool{}
	for _, t := range parts {
		for i, l := range t.manifest.Layers {
			if foreign(l) || seen[l.Digest] {
				continue
			}
			seen[l.Digest] = true
			g.Go(func() error {
				sent, err := p.layer(ctx, l, t.diffIDs[i])
				if err != nil {
					return fmt.Errorf("layer %s: %w", short(l.Digest), err)
				}
				if sent.Digest != l.Digest {
					for _, o := range parts {
						o.replace(l.Digest, sent)
					}
				}
				return nil
			})
		}
		if c := t.manifest.Config; !seen[c.Digest] {
			seen[c.Digest] = true
			g.Go(func() error { return p.config(ctx, c) })
		}
	}
	return g.Wait()
}

func (t *part) replace(old digest.Digest, with ocispec.Descriptor) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, l := range t.manifest.Layers {
		if l.Digest == old {
			t.replaced[i] = with
		}
	}
}

// foreign layers are not for distribution: the manifest says where they are.
func foreign(l ocispec.Descriptor) bool {
	return strings.Contains(l.MediaType, ".foreign.") || strings.Contains(l.MediaType, ".nondistributable.")
}

func (p *push) config(ctx context.Context, d ocispec.Descriptor) error {
	if has, err := p.to.Has(ctx, d.Digest); has || err != nil {
		return err
	}
	b, err := p.s.ReadBlob(d.Digest)
	if err != nil {
		return err
	}
	d.Size = int64(len(b))
	if err := p.to.Upload(ctx, d, open(b), nil); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return nil
}

// manifests names what is there now: last of all, so that whoever pulls finds
// everything or nothing.
func (p *push) manifests(ctx context.Context, parts []part) (Result, error) {
	for i := range parts {
		if err := parts[i].rewrite(); err != nil {
			return Result{}, err
		}
	}
	name := p.ref.Tag
	if name == "" {
		name = string(p.ref.Digest)
	}
	res := Result{}
	for _, t := range parts {
		res.Platforms = append(res.Platforms, image.FormatPlatform(t.entry.Platform))
	}
	index, missing, err := p.index(parts)
	if err != nil {
		return res, err
	}
	res.Missing = missing
	if index == nil {
		res.Descriptor, err = p.manifest(ctx, name, parts[0].entry.Manifest.MediaType, parts[0].raw)
		return res, err
	}
	for _, t := range parts {
		d := digest.FromBytes(t.raw)
		if has, err := p.to.HasManifest(ctx, d); err == nil && has {
			continue
		}
		if _, err := p.manifest(ctx, string(d), t.entry.Manifest.MediaType, t.raw); err != nil {
			return res, err
		}
	}
	res.Descriptor, err = p.manifest(ctx, name, mediaType("", index), index)
	return res, err
}

func (p *push) manifest(ctx context.Context, name, kind string, b []byte) (ocispec.Descriptor, error) {
	if strings.Contains(name, ":") && name != string(digest.FromBytes(b)) {
		return ocispec.Descriptor{}, fmt.Errorf("the store has not what the digest names in full; push it under a tag")
	}
	return p.to.Manifest(ctx, name, mediaType(kind, b), b)
}

// mediaType is what a manifest says it is, or what its parts are of.
func mediaType(known string, b []byte) string {
	var probe struct {
		MediaType string `json:"mediaType"`
		Config    struct {
			MediaType string `json:"mediaType"`
		} `json:"config"`
		Manifests []json.RawMessage `json:"manifests"`
	}
	_ = json.Unmarshal(b, &probe) // it was read before
	switch {
	case probe.MediaType != "":
		return probe.MediaType
	case known != "":
		return known
	case probe.Manifests != nil:
		return ocispec.MediaTypeImageIndex
	case strings.HasPrefix(probe.Config.MediaType, "application/vnd.docker."):
		return DockerManifest
	}
	return ocispec.MediaTypeImageManifest
}

// rewrite puts the layers that were sent in another compression into the
// manifest. Everything else of it stays, whatever it is.
func (t *part) rewrite() error {
	if len(t.replaced) == 0 {
		return nil
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(t.raw, &all); err != nil {
		return err
	}
	for i, d := range t.replaced {
		d.Annotations = t.manifest.Layers[i].Annotations
		t.manifest.Layers[i] = d
	}
	layers, err := json.Marshal(t.manifest.Layers)
	if err != nil {
		return err
	}
	all["layers"] = layers
	t.raw, err = json.Marshal(all)
	return err
}

// index is what to push above the manifests, nil for nothing: the index that
// the image came with if the store has all of it, else one of what it has.
func (p *push) index(parts []part) (b []byte, missing []string, err error) {
	have := map[digest.Digest]bool{}
	for _, t := range parts {
		have[digest.FromBytes(t.raw)] = true
	}
	for _, t := range parts {
		if t.entry.Source == t.entry.Manifest.Digest {
			continue
		}
		b, err := p.s.ReadBlob(t.entry.Source)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		var index ocispec.Index
		if err == nil {
			err = json.Unmarshal(b, &index)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read index %s: %w", t.entry.Source, err)
		}
		whole := true
		for _, m := range index.Manifests {
			if !have[m.Digest] {
				whole = false
				if m.Annotations["vnd.docker.reference.type"] == "" && m.Platform != nil {
					missing = append(missing, image.FormatPlatform(*m.Platform))
				}
			}
		}
		if whole && len(index.Manifests) > 0 {
			return b, nil, nil
		}
	}
	slices.Sort(missing)
	missing = slices.Compact(missing)
	if len(parts) == 1 {
		return nil, missing, nil
	}
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
	index.SchemaVersion = 2
	for _, t := range parts {
		index.Manifests = append(index.Manifests, ocispec.Descriptor{
			MediaType: mediaType(t.entry.Manifest.MediaType, t.raw), Digest: digest.FromBytes(t.raw),
			Size: int64(len(t.raw)), Platform: &t.entry.Platform,
		})
	}
	slices.SortFunc(index.Manifests, func(a, b ocispec.Descriptor) int {
		return strings.Compare(image.FormatPlatform(*a.Platform), image.FormatPlatform(*b.Platform))
	})
	b, err = json.Marshal(index)
	return b, missing, err
}

func short(d digest.Digest) string {
	if h := d.Encoded(); len(h) > 12 {
		return string(d.Algorithm()) + ":" + h[:12]
	}
	return string(d)
}
