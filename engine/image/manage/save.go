package manage

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image"
	"devstack/engine/image/layer"
	"devstack/engine/image/store"
)

// Formats of Save.
const (
	// DockerArchive is what docker load of every version reads: an OCI layout
	// with a manifest.json.
	DockerArchive = "docker-archive"
	// OCIArchive is an OCI layout alone, and can hold several platforms.
	OCIArchive = "oci-archive"
)

// SaveOptions of Save; the zero value is ready.
type SaveOptions struct {
	Format string // "" is DockerArchive, as of docker save
	// Platform picks one of several; "" is the host's in a docker archive,
	// and all that are here in an OCI archive.
	Platform string
}

// nameAnnotation is where containerd, and with it Docker, look for a name.
const nameAnnotation = "io.containerd.image.name"

// Save writes images, given by names or IDs, as an archive. The same images
// give the same bytes. On an error what was written is worthless.
func Save(ctx context.Context, s *store.Store, w io.Writer, refs []string, o SaveOptions) error {
	end, err := s.Begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	if o.Format == "" {
		o.Format = DockerArchive
	}
	if o.Format != DockerArchive && o.Format != OCIArchive {
		return fmt.Errorf("save images: format %q is not one of %s, %s", o.Format, DockerArchive, OCIArchive)
	}
	if len(refs) == 0 {
		return errors.New("save images: none is named")
	}
	a := &archive{store: s, o: o, blobs: map[digest.Digest]int64{}, saved: map[digest.Digest]int{}}
	for _, ref := range refs {
		if err := a.add(ref); err != nil {
			return fmt.Errorf("save image %s: %w", image.FamiliarString(ref), err)
		}
	}
	if err := a.write(ctx, w); err != nil {
		return fmt.Errorf("save images: %w", err)
	}
	return nil
}

// archive is what is going to be written.
type archive struct {
	store    *store.Store
	o        SaveOptions
	index    []ocispec.Descriptor
	blobs    map[digest.Digest]int64 // size; < 0: not known
	manifest []savedImage
	saved    map[digest.Digest]int // configuration -> its place in manifest
}

// savedImage is an entry of manifest.json.
type savedImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func (a *archive) add(ref string) error {
	e, err := find(a.store, ref, a.o.Platform)
	if err != nil {
		return err
	}
	entries := []store.Entry{e}
	if a.o.Format == OCIArchive && a.o.Platform == "" {
		if entries, err = matching(a.store, ref, ""); err != nil {
			return err
		}
		// Platforms that came with another index are not of this image.
		entries = slices.DeleteFunc(entries, func(o store.Entry) bool { return o.Source != e.Source })
	}
	for _, e := range entries {
		if err := a.addContent(e); err != nil {
			return err
		}
	}
	d := a.top(e, entries)
	if !e.Unnamed() {
		d.Annotations = map[string]string{nameAnnotation: e.Ref, ocispec.AnnotationRefName: e.Ref}
	}
	if !slices.ContainsFunc(a.index, func(o ocispec.Descriptor) bool {
		return o.Digest == d.Digest && o.Annotations[nameAnnotation] == d.Annotations[nameAnnotation]
	}) {
		a.index = append(a.index, d)
	}
	return nil
}

// top is the descriptor of what is saved: the index of the image if more than
// one platform is, else its manifest.
func (a *archive) top(e store.Entry, all []store.Entry) ocispec.Descriptor {
	if len(all) > 1 {
		if raw, err := a.store.ReadBlob(e.Source); err == nil && e.Source != e.Manifest.Digest {
			a.blobs[e.Source] = int64(len(raw))
			return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: e.Source, Size: int64(len(raw))}
		}
	}
	d := e.Manifest
	p := e.Platform
	d.Platform = &p
	return d
}

func (a *archive) addContent(e store.Entry) error {
	raw, err := a.store.ReadBlob(e.Manifest.Digest)
	if err != nil {
		return err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("parse manifest %s: %w", e.Manifest.Digest, err)
	}
	a.blobs[e.Manifest.Digest], a.blobs[m.Config.Digest] = int64(len(raw)), -1
	one := savedImage{Config: blobName(m.Config.Digest), Layers: []string{}, RepoTags: []string{}}
	for _, l := range m.Layers {
		if !a.store.HasBlob(l.Digest, l.Size) {
			return &image.Error{
				Ref: image.FamiliarString(e.Ref), Op: "save", Err: fmt.Errorf("blob %s is not in the store any more", l.Digest),
				Hint: "pull or build the image again",
			}
		}
		a.blobs[l.Digest] = l.Size
		one.Layers = append(one.Layers, blobName(l.Digest))
	}
	i, ok := a.saved[m.Config.Digest]
	if !ok {
		i = len(a.manifest)
		a.saved[m.Config.Digest] = i
		a.manifest = append(a.manifest, one)
	}
	if tag := image.FamiliarString(e.Ref); !e.Unnamed() && !slices.Contains(a.manifest[i].RepoTags, tag) && isTag(e.Ref) {
		a.manifest[i].RepoTags = append(a.manifest[i].RepoTags, tag)
	}
	return nil
}

// isTag says whether a name can be in RepoTags: a digest or file cannot.
func isTag(ref string) bool {
	_, err := tagName(ref)
	return err == nil
}

func blobName(d digest.Digest) string {
	return path.Join("blobs", d.Algorithm().String(), d.Encoded())
}

func (a *archive) write(ctx context.Context, w io.Writer) error {
	tw := tar.NewWriter(w)
	if err := writeFile(tw, ocispec.ImageLayoutFile, []byte(`{"imageLayoutVersion":"`+ocispec.ImageLayoutVersion+`"}`)); err != nil {
		return err
	}
	// The lists come first: whoever reads a stream knows what is to come.
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: a.index}
	if err := writeJSON(tw, ocispec.ImageIndexFile, index); err != nil {
		return err
	}
	if a.o.Format == DockerArchive {
		if err := writeJSON(tw, "manifest.json", a.manifest); err != nil {
			return err
		}
	}
	for _, d := range slices.Sorted(maps.Keys(a.blobs)) {
		if err := a.writeBlob(ctx, tw, d); err != nil {
			return err
		}
	}
	return tw.Close()
}

func (a *archive) writeBlob(ctx context.Context, tw *tar.Writer, d digest.Digest) error {
	f, err := a.store.OpenBlob(d)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if err := tw.WriteHeader(fileHeader(blobName(d), fi.Size())); err != nil {
		return err
	}
	sum := d.Algorithm().Hash()
	if _, err := io.Copy(io.MultiWriter(tw, sum), ctxReader{ctx, f}); err != nil {
		return err
	}
	if got := digest.NewDigest(d.Algorithm(), sum); got != d {
		err := &layer.DigestError{What: "blob", Want: d, Got: got}
		return errors.Join(err, a.store.RemoveBlob(d))
	}
	return nil
}

func writeJSON(tw *tar.Writer, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFile(tw, name, b)
}

func writeFile(tw *tar.Writer, name string, b []byte) error {
	if err := tw.WriteHeader(fileHeader(name, int64(len(b)))); err != nil {
		return err
	}
	_, err := tw.Write(b)
	return err
}

func fileHeader(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, Format: tar.FormatPAX}
}

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
