package layer

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Compression of a layer's blob, told from its first bytes: media types are
// often wrong.
type Compression int

// What layers are compressed with.
const (
	None Compression = iota
	Gzip
	Zstd
)

// How compressed streams begin.
const (
	gzipMagic = "\x1f\x8b"
	zstdMagic = "\x28\xb5\x2f\xfd"
	xzMagic   = "\xfd7zXZ\x00"
	bzipMagic = "BZh"
)

// Windows of zstd: the largest accepted is what encoders use at their best
// (bigger ones only serve to exhaust memory); the least that is set aside is
// what every decoder must offer by RFC 8878.
const (
	maxWindow = 32 << 20
	minWindow = 8 << 20
)

// Memory is what decoders of big windows share, so that many layers at once
// take no more than a few; golang.org/x/sync/semaphore.Weighted is one.
type Memory interface {
	Acquire(ctx context.Context, bytes int64) error
	Release(bytes int64)
}

// MemorySize is enough for one decoder of any window, and several usual ones.
const MemorySize = maxWindow + 2*minWindow

// Detect tells a compression from the first bytes of a stream.
func Detect(head []byte) Compression {
	switch {
	case bytes.HasPrefix(head, []byte(gzipMagic)):
		return Gzip
	case bytes.HasPrefix(head, []byte(zstdMagic)):
		return Zstd
	}
	return None
}

// Decompress gives the plain bytes of r. The decompressor must be closed. It
// may wait for memory, if that is not nil.
func Decompress(ctx context.Context, r io.Reader, memory Memory) (io.ReadCloser, Compression, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	head, err := br.Peek(6)
	if err != nil && err != io.EOF {
		return nil, None, err
	}
	switch c := Detect(head); {
	case c == Gzip:
		zr, err := gzip.NewReader(br)
		if err != nil {
			return nil, c, fmt.Errorf("open gzip stream: %w", err)
		}
		return zr, c, nil
	case c == Zstd:
		zr, err := newZstd(ctx, br, memory)
		return zr, c, err
	case bytes.HasPrefix(head, []byte(xzMagic)), bytes.HasPrefix(head, []byte(bzipMagic)):
		return nil, None, fmt.Errorf("layer is compressed with xz or bzip2, which OCI images may not use (use gzip or zstd)")
	}
	return io.NopCloser(br), None, nil
}

// newZstd sets the memory of the first frame's window aside; later frames may
// not want more.
func newZstd(ctx context.Context, br *bufio.Reader, memory Memory) (io.ReadCloser, error) {
	head, _ := br.Peek(zstd.HeaderMaxSize)
	var h zstd.Header
	if err := h.Decode(head); err != nil {
		return nil, fmt.Errorf("open zstd stream: %w", err)
	}
	if h.WindowSize > maxWindow {
		return nil, refuse("", "it needs a zstd window of %d MiB to unpack, more than %d", h.WindowSize>>20, maxWindow>>20)
	}
	window := max(int64(h.WindowSize), minWindow)
	if memory == nil {
		memory = unlimited{}
	}
	if err := memory.Acquire(ctx, window); err != nil {
		return nil, err
	}
	zr, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(uint64(window)))
	if err != nil {
		memory.Release(window)
		return nil, fmt.Errorf("open zstd stream: %w", err)
	}
	return &zstdReader{zr.IOReadCloser(), func() { memory.Release(window) }}, nil
}

type unlimited struct{}

func (unlimited) Acquire(context.Context, int64) error { return nil }
func (unlimited) Release(int64)                        {}

type zstdReader struct {
	io.ReadCloser
	release func()
}

func (z *zstdReader) Close() error {
	err := z.ReadCloser.Close()
	z.release()
	return err
}
