package commit

import (
	"archive/tar"
	"context"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image"
	"devstack/engine/image/layer"
	"devstack/engine/image/store"
)

// Options of Layer; the zero value is ready.
type Options struct {
	// Epoch is the latest time an entry may have; later ones become Epoch.
	// Zero leaves times alone. They are whole seconds in any case.
	Epoch       time.Time
	Compression Compression
	// Lower are the directories that upper lies over, the topmost first.
	// With them, marks that hide nothing are left out: overlayfs calls every
	// new directory opaque.
	Lower []string
	// Keep leaves the tree to the caller: the layer is unpacked from its
	// blob. Otherwise it is gone afterwards, and nobody may have it mounted.
	Keep bool
	// Plain says that the tree is an ordinary one, such as that of a rootfs:
	// image: nothing in it is a mark of overlayfs, and what is mounted in it
	// stays out.
	Plain bool
	// Omit are paths relative to the tree that stay out of the layer, with
	// what is in them: stubs of mounts, the engine's own data.
	Omit []string
	// Devices allows device nodes other than the harmless ones, as
	// layer.Limits does when it is unpacked.
	Devices bool
}

// emptyDiffID is the digest of a tar stream without entries.
const emptyDiffID digest.Digest = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"

// IsEmpty says whether a layer holds no entry, so that an image can do
// without it.
func IsEmpty(l image.Layer) bool { return l.DiffID == emptyDiffID }

// Layer makes a layer of upper, an overlay's upper directory, in the store:
// blob and unpacked tree. upper becomes that tree unless o.Keep; its times
// are then what unpacking elsewhere would make them.
func Layer(ctx context.Context, s *store.Store, upper string, o Options) (image.Layer, error) {
	end, err := s.Begin(ctx)
	if err != nil {
		return image.Layer{}, err
	}
	defer end()
	l, err := writeBlob(ctx, s, upper, o)
	if err != nil {
		return image.Layer{}, fmt.Errorf("commit layer: %w", err)
	}
	if err := keepTree(ctx, s, upper, l, o); err != nil {
		return image.Layer{}, fmt.Errorf("commit layer: %w", err)
	}
	return l, nil
}

// Tar writes the tree at dir as it is, without marks of overlayfs.
func Tar(ctx context.Context, w io.Writer, dir string) error {
	tw := tar.NewWriter(w)
	if err := pack(ctx, tw, dir, Options{Keep: true, Devices: true}); err != nil {
		return fmt.Errorf("export files: %w", err)
	}
	return tw.Close()
}

// writeBlob packs the tree into a blob of the store.
func writeBlob(ctx context.Context, s *store.Store, upper string, o Options) (image.Layer, error) {
	blob, err := s.NewBlob()
	if err != nil {
		return image.Layer{}, err
	}
	defer blob.Discard()
	p, err := newPacker(blob, o.Compression)
	if err != nil {
		return image.Layer{}, err
	}
	err = pack(ctx, p.tar, upper, o)
	if cerr := p.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return image.Layer{}, err
	}
	diffID, d := p.digests()
	l := image.Layer{Digest: d, DiffID: diffID, MediaType: o.Compression.mediaType(), Size: p.out.n, Dir: s.LayerDir(diffID)}
	if s.HasBlob(l.Digest, l.Size) {
		return l, nil
	}
	return l, blob.Commit(l.Digest)
}

// keepTree makes the tree of a layer the store's.
func keepTree(ctx context.Context, s *store.Store, upper string, l image.Layer, o Options) error {
	if !o.Keep {
		moved, err := s.AdoptLayer(upper, l.DiffID)
		if moved || err != nil {
			return err
		}
	}
	if !s.HasLayer(l.DiffID) {
		if err := unpack(ctx, s, l, o.Devices); err != nil {
			return err
		}
	}
	if o.Keep {
		return nil
	}
	return layer.RemoveAll(upper)
}

// unpack makes the tree from the blob, where the original cannot be had.
func unpack(ctx context.Context, s *store.Store, l image.Layer, devices bool) error {
	w, err := s.NewLayer()
	if err != nil {
		return err
	}
	defer w.Discard()
	open := func(context.Context) (io.ReadCloser, error) { return s.OpenBlob(l.Digest) }
	limits := layer.Limits{Bytes: 1 << 62, Entries: 1 << 30, Devices: devices, Memory: s.Memory}
	if err := layer.Ingest(ctx, open, nil, w.Dir, layer.Blob{Digest: l.Digest, Size: l.Size, DiffID: l.DiffID}, limits, nil); err != nil {
		return err
	}
	return w.Commit(l.DiffID)
}

// packer is a tar stream on its way to a blob.
type packer struct {
	tar    *tar.Writer
	plain  hash.Hash // of the tar stream; nil where that is the blob
	packed io.WriteCloser
	out    *meter
}

func newPacker(blob io.Writer, c Compression) (*packer, error) {
	p := &packer{out: &meter{w: blob, hash: digest.SHA256.Hash()}}
	var err error
	if p.packed, err = c.writer(p.out); err != nil {
		return nil, err
	}
	w := io.Writer(p.packed)
	if c != None {
		p.plain = digest.SHA256.Hash()
		w = io.MultiWriter(p.plain, p.packed)
	}
	p.tar = tar.NewWriter(w)
	return p, nil
}

// Close ends tar and compression, both whatever happens: a compressor has
// goroutines.
func (p *packer) Close() error {
	err := p.tar.Close()
	if cerr := p.packed.Close(); err == nil {
		err = cerr
	}
	return err
}

func (p *packer) digests() (diffID, blob digest.Digest) {
	blob = digest.NewDigest(digest.SHA256, p.out.hash)
	if p.plain == nil {
		return blob, blob
	}
	return digest.NewDigest(digest.SHA256, p.plain), blob
}

// meter hashes and counts what goes to w.
type meter struct {
	w    io.Writer
	hash hash.Hash
	n    int64
}

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	m.hash.Write(p[:n])
	m.n += int64(n)
	return n, err
}

// mediaType is OCI's for a layer of this compression.
func (c Compression) mediaType() string {
	switch c {
	case None:
		return ocispec.MediaTypeImageLayer
	case Zstd:
		return ocispec.MediaTypeImageLayerZstd
	}
	return ocispec.MediaTypeImageLayerGzip
}
