package layer

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"syscall"

	"github.com/opencontainers/go-digest"
)

// Blob says what a layer's stream must turn out to be.
type Blob struct {
	Digest digest.Digest
	Size   int64
	DiffID digest.Digest // required
}

// Source opens the bytes of a blob. Reads must end when ctx does.
type Source func(ctx context.Context) (io.ReadCloser, error)

// Ingest reads a layer's blob from a source, copies it to blob (may be nil)
// and unpacks it into the empty directory dir. It succeeds only if the blob
// has the announced size and digest and its content the announced diff-id; on
// failure the caller throws both away. received, if not nil, hears how many
// bytes of the blob have come.
func Ingest(ctx context.Context, open Source, blob io.Writer, dir string, want Blob, limits Limits, received func(int64)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	src, err := open(ctx)
	if err != nil {
		return err
	}
	defer src.Close()
	in := &inflow{ctx: ctx, src: src, blob: blob, size: want.Size, hash: want.Digest.Algorithm().Hash(), received: received}
	ahead := newReadAhead(in)
	err = unpackStream(ctx, ahead, dir, want, limits)
	switch {
	case err != nil && blames(err):
		// The bytes may be damaged rather than wrongly made: the digest of
		// all of them is what tells.
		io.Copy(io.Discard, ahead)
	case err != nil:
		cancel() // ends a Read that waits for the network
	}
	ahead.Close()
	return in.fault(want, err)
}

// blames says whether the format of the stream, and not this machine or the
// author's intent, is at fault.
func blames(err error) bool {
	var refused *RefusedError
	var errno syscall.Errno
	return !errors.As(err, &refused) && !errors.As(err, &errno) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

func unpackStream(ctx context.Context, src io.Reader, dir string, want Blob, limits Limits) error {
	plain, compression, err := Decompress(ctx, src, limits.Memory)
	if err != nil {
		return err
	}
	defer plain.Close()
	stream := io.Reader(plain)
	if compression != None {
		ahead := newReadAhead(plain)
		defer ahead.Close() // before plain is closed
		stream = ahead
	}
	content := newMeter(ctx, stream, limits)
	if compression != None || want.Digest != want.DiffID {
		content.hash = want.DiffID.Algorithm().Hash()
	}
	if err := unpackAll(ctx, content, dir, limits); err != nil {
		return err
	}
	if content.hash == nil {
		return nil
	}
	if got := digest.NewDigest(want.DiffID.Algorithm(), content.hash); got != want.DiffID {
		return &DigestError{What: "layer content", Want: want.DiffID, Got: got}
	}
	return nil
}

// UnpackAll is Unpack up to the end of r: what follows the archive is read, so
// that damage there is noticed, and counts towards the limit.
func UnpackAll(ctx context.Context, r io.Reader, dir string, limits Limits) error {
	return unpackAll(ctx, newMeter(ctx, r, limits), dir, limits)
}

// unpackAll leaves content's hash to be of all bytes: those after the end of
// the archive belong to the digests too.
func unpackAll(ctx context.Context, content *meter, dir string, limits Limits) error {
	if err := Unpack(ctx, content, dir, limits); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, content); err != nil {
		return fmt.Errorf("read end of layer: %w", err)
	}
	return nil
}

// inflow is the blob as it arrives: hashed, counted and kept.
type inflow struct {
	ctx      context.Context
	src      io.Reader
	blob     io.Writer
	hash     hash.Hash
	size     int64
	got      int64
	err      error // of src or blob, other than io.EOF
	eof      bool
	received func(int64)
}

func (in *inflow) Read(p []byte) (int, error) {
	if err := in.ctx.Err(); err != nil {
		in.err = err
		return 0, err
	}
	n, err := in.src.Read(p)
	in.got += int64(n)
	if in.got > in.size {
		in.err = &SizeError{Want: in.size, Got: in.got}
		return 0, in.err
	}
	in.hash.Write(p[:n])
	if in.blob != nil && n > 0 {
		if _, werr := in.blob.Write(p[:n]); werr != nil {
			in.err = fmt.Errorf("write blob: %w", werr)
			return 0, in.err
		}
	}
	if in.received != nil && n > 0 {
		in.received(in.got)
	}
	switch {
	case err == io.EOF && in.got < in.size:
		in.err = &SizeError{Want: in.size, Got: in.got}
		return n, in.err
	case err == io.EOF:
		in.eof = true
	case err != nil:
		in.err = err
	}
	return n, err
}

// fault decides what went wrong, the cause before its consequences: the
// source, then the digest of the blob, then the unpacking.
func (in *inflow) fault(want Blob, unpack error) error {
	if in.err != nil && (unpack == nil || blames(unpack)) {
		return in.err
	}
	if in.eof {
		if got := digest.NewDigest(want.Digest.Algorithm(), in.hash); got != want.Digest {
			return &DigestError{What: "layer", Want: want.Digest, Got: got}
		}
	}
	if unpack == nil && !in.eof {
		return &SizeError{Want: in.size, Got: in.got}
	}
	return unpack
}

// meter hashes and bounds the uncompressed stream.
type meter struct {
	ctx         context.Context
	r           io.Reader
	hash        hash.Hash // nil: not wanted
	limit, left int64
}

func newMeter(ctx context.Context, r io.Reader, limits Limits) *meter {
	most := limits.MaxBytes()
	return &meter{ctx: ctx, r: r, limit: most, left: most}
}

func (m *meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.r.Read(p)
	if m.hash != nil {
		m.hash.Write(p[:n])
	}
	if m.left -= int64(n); m.left < 0 {
		return 0, exceed("", "it unpacks to more than %d bytes", m.limit)
	}
	return n, err
}
