package notify

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"devstack/engine/watch"
)

// digest is the first half of a SHA-256: enough to tell contents apart.
type digest [16]byte

func (d digest) known() bool { return d != digest{} }

// maxRead is up to what size files are read; what is larger counts as changed
// when its size, time or inode is.
const maxRead = 64 << 20

// racyFor is how long after a change a file's times cannot be trusted to tell
// of another: the coarsest clock of a file system that is in use.
const racyFor = 2 * time.Second

// meta is what lstat says of a path.
type meta struct {
	kind    watch.Kind // 0: neither file, directory nor symlink
	mode    uint16
	size    int64
	changed time.Time // the later of the content's and the inode's
	stat    uint64
}

// fingerprint mixes what changes with a file.
func fingerprint(values ...uint64) uint64 {
	h := uint64(14695981039346656037)
	for _, v := range values {
		h = (h ^ v) * 1099511628211
		h ^= h >> 29
	}
	return h | 1 // 0 is unknown
}

// hasher reads files; it keeps its buffer.
type hasher struct{ buf []byte }

// sum is the digest of what is at path now. What cannot be read, or is too
// large, has a digest of its fingerprint.
func (h *hasher) sum(path string, m meta) (digest, error) {
	if m.kind == watch.Symlink {
		to, err := os.Readlink(path)
		return short([]byte(to)), err
	}
	if m.size > maxRead {
		return m.digest(), nil
	}
	f, err := openFile(path)
	if errors.Is(err, fs.ErrPermission) {
		return m.digest(), nil
	}
	if err != nil {
		return digest{}, err
	}
	defer f.Close()
	if h.buf == nil {
		h.buf = make([]byte, 64<<10)
	}
	n, err := io.ReadFull(f, h.buf)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return short(h.buf[:n]), nil
	}
	if err != nil {
		return m.digest(), nil
	}
	sha := sha256.New()
	sha.Write(h.buf)
	if _, err := io.CopyBuffer(onlyWriter{sha}, onlyReader{io.LimitReader(f, maxRead)}, h.buf); err != nil {
		return m.digest(), nil
	}
	return digest(sha.Sum(nil)[:16]), nil
}

func short(b []byte) digest {
	s := sha256.Sum256(b)
	return digest(s[:16])
}

func (m meta) digest() digest {
	return short(binary.LittleEndian.AppendUint64([]byte("stat"), m.stat))
}

// empty says whether a digest is that of a file with nothing in it.
func (d digest) empty() bool { return d == short(nil) }

// These keep io.CopyBuffer to the buffer.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

func (m meta) racy(now time.Time) bool { return now.Sub(m.changed) < racyFor }

// unknowable stands for content that changed before it was read for the first
// time: it is equal to none.
var unknowable = digest{0xff}
