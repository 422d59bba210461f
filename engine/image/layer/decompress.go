package layer

import (
	"bufio"
	"bytes"
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

// zstdWindow is the largest zstd window accepted: what level 19 uses with
// --long=25; bigger ones only serve to exhaust memory.
const zstdWindow = 32 << 20

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

// Decompress gives the plain bytes of r. The decompressor must be closed.
func Decompress(r io.Reader) (io.ReadCloser, Compression, error) {
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
		zr, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, c, fmt.Errorf("open zstd stream: %w", err)
		}
		return zr.IOReadCloser(), c, nil
	case bytes.HasPrefix(head, []byte(xzMagic)), bytes.HasPrefix(head, []byte(bzipMagic)):
		return nil, None, fmt.Errorf("layer is compressed with xz or bzip2, which OCI images may not use (use gzip or zstd)")
	}
	return io.NopCloser(br), None, nil
}
