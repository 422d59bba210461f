package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
)

// maxMeta bounds manifests and configurations.
const maxMeta = 8 << 20

func (s *Store) blobPath(d digest.Digest) (string, error) {
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("blob %q: %w", d, err)
	}
	return filepath.Join(s.blobDir(d.Algorithm().String()), d.Encoded()), nil
}

// HasBlob says whether a blob is there with its size; size < 0 is any.
func (s *Store) HasBlob(d digest.Digest, size int64) bool {
	path, err := s.blobPath(d)
	if err != nil {
		return false
	}
	fi, err := os.Stat(path)
	return err == nil && (size < 0 || fi.Size() == size)
}

// BlobSize is the size of a blob, 0 if it is not there.
func (s *Store) BlobSize(d digest.Digest) int64 {
	path, err := s.blobPath(d)
	if err != nil {
		return 0
	}
	fi, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return fi.Size()
}

// ReadBlob reads a small blob and verifies it. A damaged one is removed, so
// that it is fetched again, and reported as not found.
func (s *Store) ReadBlob(d digest.Digest) ([]byte, error) {
	path, err := s.blobPath(d)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("blob %s: %w", d, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxMeta))
	if err != nil {
		return nil, err
	}
	if d.Algorithm().FromBytes(b) != d {
		os.Remove(path)
		return nil, fmt.Errorf("blob %s was damaged on disk and is removed: %w", d, ErrNotFound)
	}
	return b, nil
}

// OpenBlob opens a blob of any size. The caller verifies what it reads.
func (s *Store) OpenBlob(d digest.Digest) (*os.File, error) {
	path, err := s.blobPath(d)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("blob %s: %w", d, ErrNotFound)
	}
	return f, err
}

// RemoveBlob removes a blob that turned out to be damaged.
func (s *Store) RemoveBlob(d digest.Digest) error {
	path, err := s.blobPath(d)
	if err != nil {
		return err
	}
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// WriteBlob stores a small blob under its digest and returns that. The blob
// is on disk when it returns.
func (s *Store) WriteBlob(b []byte) (digest.Digest, error) {
	d := digest.FromBytes(b)
	if s.HasBlob(d, int64(len(b))) {
		return d, nil
	}
	w, err := s.NewBlob()
	if err != nil {
		return "", err
	}
	defer w.Discard()
	if _, err := w.Write(b); err != nil {
		return "", err
	}
	if err := w.Sync(); err != nil {
		return "", err
	}
	return d, w.Commit(d)
}

// BlobWriter is a blob on its way into the store.
type BlobWriter struct {
	*os.File
	s *Store
}

// NewBlob starts a blob. The caller verifies what it writes, then calls
// Commit; Discard after that does nothing.
func (s *Store) NewBlob() (*BlobWriter, error) {
	f, err := os.OpenFile(filepath.Join(s.ingestDir(), rand.Text()), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write blob: %w", err)
	}
	return &BlobWriter{File: f, s: s}, nil
}

// Commit gives the blob its name. A blob of the size of a layer is not synced
// here: reading verifies, and a blob lost with the power is fetched again.
func (w *BlobWriter) Commit(d digest.Digest) error {
	path, err := w.s.blobPath(d)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("write blob %s: %w", d, err)
	}
	if err := os.Rename(w.Name(), path); err != nil {
		return fmt.Errorf("commit blob %s: %w", d, err)
	}
	w.s = nil
	return nil
}

// Discard throws the blob away unless it was committed.
func (w *BlobWriter) Discard() {
	if w.s != nil {
		w.Close()
		os.Remove(w.Name())
	}
}
