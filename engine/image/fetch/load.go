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
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image"
	"devstack/engine/image/layer"
	"devstack/engine/image/store"
)

// LoadOptions of Load; the zero value is ready.
type LoadOptions struct {
	// Platform is the only one to load; "" is every one the archive holds.
	Platform string
	Progress func(Progress) // may be nil; one goroutine at a time
	Limits   layer.Limits
}

// Load brings all images of an archive into the store, under the names they
// have there; one without a name goes by its ID. It reads what `docker save`
// and `podman save` write in all their formats, OCI archives and layouts, compressed or not. from is
// a path, or "" to read stdin, which is kept in the store meanwhile. Names
// appear when everything is there, all at once.
func Load(ctx context.Context, s *store.Store, from string, stdin io.Reader, o LoadOptions) ([]image.Image, error) {
	end, err := s.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	o.Limits.Memory = s.Memory
	l := &loader{store: s, from: from, o: o}
	if l.files, err = l.open(ctx, stdin); err == nil {
		defer l.files.Close()
		err = l.load(ctx)
	}
	if err != nil {
		return nil, l.explain(err)
	}
	if err := s.Set(ctx, l.entries...); err != nil {
		return nil, err
	}
	var images []image.Image
	for _, e := range l.entries {
		img, err := s.Load(e)
		if err != nil {
			return nil, err
		}
		images = append(images, img)
	}
	return images, nil
}

type loader struct {
	store   *store.Store
	from    string
	o       LoadOptions
	files   files
	entries []store.Entry

	mu sync.Mutex // reports of layers that load at once
}

func (l *loader) open(ctx context.Context, stdin io.Reader) (files, error) {
	if l.from == "" {
		l.from = "standard input"
		return spoolArchive(ctx, l.store, stdin, l.o.Limits)
	}
	if fi, err := os.Stat(l.from); err != nil || !fi.IsDir() {
		return openArchive(ctx, l.store, l.from, l.o.Limits)
	}
	root, err := os.OpenRoot(l.from)
	return dirFiles{root}, err
}

func (l *loader) explain(err error) error {
	j := job{ref: image.Reference{Transport: image.OCIArchive, File: l.from}}
	err = j.explain(err)
	var known *image.Error
	if errors.As(err, &known) {
		known.Op, known.Ref = "load", "from "+l.from
	}
	return err
}

// load prefers index.json: docker save writes both, and only there the
// manifests keep their digests.
func (l *loader) load(ctx context.Context) error {
	saved, flat, err := l.manifestJSON()
	if err != nil {
		return err
	}
	if flat != nil {
		return l.loadFlat(ctx, flat)
	}
	index, err := l.indexJSON()
	switch {
	case err != nil:
		return err
	case index != nil:
		return l.loadLayout(ctx, index, saved)
	case saved != nil:
		return l.loadSaved(ctx, saved)
	}
	return errors.New("it holds no image: neither index.json nor manifest.json is there (for a root file system, unpack it and use rootfs:DIR)")
}

// manifestJSON is what docker save lists its images in, or an image's own
// manifest.
func (l *loader) manifestJSON() (saved []savedImage, own []byte, err error) {
	const name = "manifest.json"
	b, err := l.bytes(name)
	switch {
	case err != nil || b == nil:
	case bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")):
		own = b
	default:
		err = parse(name, b, &saved)
	}
	return saved, own, err
}

func (l *loader) indexJSON() ([]ocispec.Descriptor, error) {
	const name = "index.json"
	var index ocispec.Index
	b, err := l.bytes(name)
	if err == nil && b != nil {
		err = parse(name, b, &index)
	}
	return index.Manifests, err
}

// bytes reads a file of the archive; nil: it is not there.
func (l *loader) bytes(name string) ([]byte, error) {
	r, size, err := l.files.open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > maxMeta {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxMeta)
	}
	return io.ReadAll(r)
}

func parse(name string, b []byte, to any) error {
	if err := json.Unmarshal(b, to); err != nil {
		return fmt.Errorf("parse %s: %w", name, err)
	}
	return nil
}

func (l *loader) loadSaved(ctx context.Context, saved []savedImage) error {
	for i, one := range saved {
		ref := image.Reference{Transport: image.DockerArchive, File: l.from, Inner: fmt.Sprintf("@%d", i)}
		src := &dockerSource{files: l.files, ref: ref, names: map[digest.Digest]string{}}
		if err := l.transfer(ctx, src, ref, l.o.Platform, one.RepoTags); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) loadLayout(ctx context.Context, index []ocispec.Descriptor, saved []savedImage) error {
	ref := image.Reference{Transport: image.OCIArchive, File: l.from}
	src := &layoutSource{files: l.files, ref: ref}
	names := map[digest.Digest][]string{}
	var order []ocispec.Descriptor
	for _, d := range index {
		if isAttestation(d) {
			continue
		}
		if _, ok := names[d.Digest]; !ok {
			order = append(order, d)
		}
		names[d.Digest] = append(names[d.Digest], namesToLoad(d)...)
	}
	if len(order) == 0 {
		return errors.New("its index.json lists no image")
	}
	for _, d := range order {
		top, err := src.meta(ctx, d)
		if err != nil {
			return err
		}
		one := rootedSource{src, top, d}
		platforms, err := l.platforms(top)
		if err != nil {
			return err
		}
		if len(names[d.Digest]) == 0 {
			names[d.Digest] = tagsOf(saved, top)
		}
		for _, p := range platforms {
			if err := l.transfer(ctx, one, ref, p, names[d.Digest]); err != nil {
				return err
			}
		}
	}
	return nil
}

// platforms are those to load of what a descriptor stands for: of an index,
// the ones whose manifests the archive has, since tools leave others out.
func (l *loader) platforms(top []byte) ([]string, error) {
	var index ocispec.Index
	if err := json.Unmarshal(top, &index); err != nil {
		return nil, fmt.Errorf("parse manifest: %w", err)
	}
	if l.o.Platform != "" || index.Manifests == nil {
		return []string{l.o.Platform}, nil
	}
	var found, all []string
	for _, d := range index.Manifests {
		if isAttestation(d) || d.Digest.Validate() != nil {
			continue
		}
		p := ""
		if d.Platform != nil && d.Platform.Architecture != "" && d.Platform.Architecture != "unknown" {
			p = image.FormatPlatform(*d.Platform)
		}
		all = append(all, p)
		if r, _, err := l.files.open(blobFile(d.Digest)); err == nil {
			r.Close()
			found = append(found, p)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("it has the manifest of none of its platforms (%s)", strings.Join(all, ", "))
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

func blobFile(d digest.Digest) string {
	return "blobs/" + d.Algorithm().String() + "/" + d.Encoded()
}

func isAttestation(d ocispec.Descriptor) bool {
	return d.Annotations["vnd.docker.reference.type"] != "" ||
		d.Platform != nil && d.Platform.OS == "unknown" && d.Platform.Architecture == "unknown"
}

// transfer brings one platform of one image here.
func (l *loader) transfer(ctx context.Context, src source, ref image.Reference, platform string, names []string) error {
	p, err := image.ParsePlatform(platform)
	if err != nil {
		return err
	}
	j := job{store: l.store, ref: ref, platform: p, o: Options{Platform: platform, Limits: l.o.Limits}}
	e, err := j.transfer(ctx, src, l.report)
	if err != nil {
		return err
	}
	img, err := l.store.Describe(e)
	if err != nil {
		return err
	}
	var refs []string
	for _, name := range names {
		if r, err := image.ParseReference(name); err == nil && r.Transport == image.Docker && r.Digest == "" {
			refs = append(refs, r.String())
		}
	}
	if len(refs) == 0 {
		refs = []string{string(img.ID)}
	}
	slices.Sort(refs)
	for _, r := range slices.Compact(refs) {
		e.Ref = r
		l.entries = append(l.entries, e)
	}
	return nil
}

func (l *loader) report(p Progress) {
	if l.o.Progress == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.o.Progress(p)
}

// namesToLoad are the names a layout's entry gives its image. The one of OCI
// may be a bare tag, which says nothing of a repository.
func namesToLoad(d ocispec.Descriptor) []string {
	if n := d.Annotations["io.containerd.image.name"]; n != "" {
		return []string{n}
	}
	if n := d.Annotations[ocispec.AnnotationRefName]; strings.ContainsAny(n, "/:") {
		return []string{n}
	}
	return nil
}

// tagsOf finds the names in manifest.json for a manifest without any.
func tagsOf(saved []savedImage, manifest []byte) []string {
	var m ocispec.Manifest
	if json.Unmarshal(manifest, &m) != nil || m.Config.Digest.Validate() != nil {
		return nil
	}
	for _, one := range saved {
		if one.Config == blobFile(m.Config.Digest) {
			return one.RepoTags
		}
	}
	return nil
}

// rootedSource is one image among those of a layout.
type rootedSource struct {
	*layoutSource
	top  []byte
	desc ocispec.Descriptor
}

func (s rootedSource) root(context.Context) ([]byte, ocispec.Descriptor, error) {
	return bytes.Clone(s.top), s.desc, nil
}
