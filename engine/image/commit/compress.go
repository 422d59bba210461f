package commit

import (
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
)

// Compression of a layer's blob.
type Compression string

// The compressions; "" is Gzip, which every registry and tool knows.
const (
	Gzip Compression = "gzip"
	Zstd Compression = "zstd"
	None Compression = "none"
)

// Levels, and the blocks that are compressed independently: fixed, because
// the bytes depend on them.
const (
	gzipLevel = 1 // a third of the time of 4, a tenth more bytes
	gzipBlock = 256 << 10
	zstdLevel = zstd.SpeedDefault
)

// parallel bounds the blocks in work, and with them memory.
func parallel() int { return min(runtime.GOMAXPROCS(0), 4) }

func (c Compression) writer(w io.Writer) (io.WriteCloser, error) {
	switch c {
	case "", Gzip:
		zw, err := pgzip.NewWriterLevel(w, gzipLevel)
		if err != nil {
			return nil, err
		}
		zw.ModTime = time.Unix(0, 0) // none; nor has the header a name
		return zw, zw.SetConcurrency(gzipBlock, parallel())
	case Zstd:
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstdLevel), zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(4<<20), zstd.WithLowerEncoderMem(true))
	case None:
		return noCompression{w}, nil
	}
	return nil, fmt.Errorf("compression %q is not one of gzip, zstd, none", string(c))
}

type noCompression struct{ io.Writer }

func (noCompression) Close() error { return nil }
