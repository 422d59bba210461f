package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image"
	"devstack/engine/image/store"
)

// layer brings one layer to the registry in the cheapest way that there is,
// and says in which form it is there now.
func (p *push) layer(ctx context.Context, l ocispec.Descriptor, diffID digest.Digest) (ocispec.Descriptor, error) {
	tell := func(state string, n int64) {
		p.report(store.Progress{Layer: l.Digest, State: state, Current: n, Total: l.Size})
	}
	tell(Preparing, 0)
	has, err := p.to.Has(ctx, l.Digest)
	if err != nil {
		return l, err
	}
	if has {
		tell(Present, l.Size)
		return l, nil
	}
	mounted, begun, err := p.mount(ctx, l.Digest)
	if mounted || err != nil {
		tell(Mounted, l.Size)
		return l, err
	}
	old := l.Digest
	l, err = p.obtain(ctx, l, diffID)
	if err != nil {
		return l, err
	}
	progress := meter(l.Size, func(n int64) { tell(Pushing, n) })
	tell(Pushing, 0)
	if l.Digest != old {
		begun = nil // it is for another blob, which may be there, too
	}
	up := upload{t: p.to, d: l, content: p.open(l.Digest), sent: progress, at: begun}
	if err := up.run(ctx); err != nil {
		var status *StatusError
		if errors.As(err, &status) && status.has(codeDigestInvalid) {
			if damaged := p.verify(l.Digest); damaged != nil {
				return l, damaged
			}
		}
		return l, err
	}
	tell(Pushed, l.Size)
	return l, nil
}

// mount has the registry take the blob over from another of its repositories
// that the store knows to have it. A registry that does not begins an upload
// instead.
func (p *push) mount(ctx context.Context, d digest.Digest) (mounted bool, begun *url.URL, err error) {
	tried := 0
	for from := range p.repositories(d) {
		if from.Domain != p.ref.Domain || from.Path == p.ref.Path || tried == 3 {
			continue
		}
		to, err := p.c.Target(ctx, from) // registries.conf may lay it elsewhere
		if err != nil || to.addr != p.to.addr {
			continue
		}
		tried++
		if begun != nil {
			p.to.cancel(ctx, begun.String())
		}
		begun, err = p.to.begin(ctx, d, to.path)
		switch {
		case err == nil && begun == nil:
			return true, nil, nil
		case ctx.Err() != nil:
			return false, nil, ctx.Err()
		}
	}
	return false, begun, nil
}

// repositories are those of registries that a blob is known to be from.
func (p *push) repositories(d digest.Digest) map[image.Reference]bool {
	out := map[image.Reference]bool{}
	for _, img := range p.images {
		ref, err := image.ParseReference(img.Ref)
		if err != nil || ref.Transport != image.Docker {
			continue
		}
		for _, l := range img.Layers {
			if l.Digest == d {
				out[image.Reference{Transport: image.Docker, Domain: ref.Domain, Path: ref.Path}] = true
			}
		}
	}
	return out
}

// obtain sees to it that the store has a blob for the layer. A layer that was
// unpacked from another compression has none of its own: it is downloaded from
// where its image came from; failing that the other one stands in for it.
func (p *push) obtain(ctx context.Context, l ocispec.Descriptor, diffID digest.Digest) (ocispec.Descriptor, error) {
	if p.s.HasBlob(l.Digest, l.Size) {
		return l, nil
	}
	tried := ""
	for from := range p.repositories(l.Digest) {
		err := p.download(ctx, from, l)
		if err == nil || ctx.Err() != nil {
			return l, err
		}
		tried += fmt.Sprintf("; download from %s: %v", from.Repository(), err)
	}
	for _, img := range p.images {
		for _, o := range img.Layers {
			if o.DiffID == diffID && p.s.HasBlob(o.Digest, o.Size) {
				return ocispec.Descriptor{MediaType: o.MediaType, Digest: o.Digest, Size: o.Size}, nil
			}
		}
	}
	return l, fmt.Errorf("its compressed form is not in the store%s: %w", tried, store.ErrNotFound)
}

func (p *push) download(ctx context.Context, from image.Reference, l ocispec.Descriptor) error {
	repo, err := p.c.Repository(ctx, from)
	if err != nil {
		return err
	}
	r, err := repo.Blob(ctx, l)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := p.s.NewBlob()
	if err != nil {
		return err
	}
	defer w.Discard()
	verifier := l.Digest.Verifier()
	n, err := io.Copy(io.MultiWriter(w, verifier), io.LimitReader(r, l.Size+1))
	if err != nil {
		return err
	}
	if n != l.Size || !verifier.Verified() {
		return fmt.Errorf("it is not what its digest says")
	}
	return w.Commit(l.Digest)
}

// open gives an upload the blob's bytes from an offset on.
func (p *push) open(d digest.Digest) func(int64) (io.ReadCloser, error) {
	return func(offset int64) (io.ReadCloser, error) {
		f, err := p.s.OpenBlob(d)
		if err != nil {
			return nil, err
		}
		if _, err := f.Seek(offset, io.SeekStart); err != nil {
			f.Close()
			return nil, err
		}
		return onlyReader{f}, nil
	}
}

// onlyReader hides a file's WriteTo from the transport, which would send 32
// KiB at a time and count nothing.
type onlyReader struct{ f *os.File }

func (r onlyReader) Read(p []byte) (int, error) { return r.f.Read(p) }
func (r onlyReader) Close() error               { return r.f.Close() }

// verify says whether the store's blob is to blame for a wrong digest, and
// removes it if so.
func (p *push) verify(d digest.Digest) error {
	f, err := p.s.OpenBlob(d)
	if err != nil {
		return err
	}
	defer f.Close()
	v := d.Verifier()
	if _, err := io.Copy(v, f); err != nil || v.Verified() {
		return err
	}
	return errors.Join(fmt.Errorf("blob %s was damaged on disk and is removed; push again to have it downloaded", d), p.s.RemoveBlob(d))
}

// open gives bytes at hand to an upload.
func open(b []byte) func(int64) (io.ReadCloser, error) {
	return func(offset int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b[offset:])), nil
	}
}

// cancel ends an upload that nobody needs; registries forget them anyway.
func (t *Target) cancel(ctx context.Context, at string) {
	_, _ = t.ask(ctx, "DELETE", at)
}

// meter thins out progress to about a hundred reports a layer.
func meter(size int64, report func(int64)) func(int64) {
	step := max(size/100, 256<<10)
	last := int64(0)
	return func(n int64) {
		if n < last || n >= last+step { // back after a broken connection
			last = n
			report(n)
		}
	}
}
