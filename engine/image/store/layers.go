package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/opencontainers/go-digest"

	"devstack/engine/image/layer"
)

// LayerDir is where the unpacked layer of a diff-id lies, or would.
func (s *Store) LayerDir(diffID digest.Digest) string {
	return filepath.Join(s.layers, diffID.Algorithm().String(), diffID.Encoded(), "fs")
}

// HasLayer says whether a layer is unpacked.
func (s *Store) HasLayer(diffID digest.Digest) bool {
	_, err := os.Lstat(s.LayerDir(diffID))
	return err == nil
}

// LayerWriter is a layer being unpacked.
type LayerWriter struct {
	Dir string // the empty directory to unpack into
	tmp string
	s   *Store
}

// NewLayer starts a layer.
func (s *Store) NewLayer() (*LayerWriter, error) {
	tmp := filepath.Join(s.layerIngestDir(), rand.Text())
	w := &LayerWriter{Dir: filepath.Join(tmp, "fs"), tmp: tmp, s: s}
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return nil, fmt.Errorf("unpack layer: %w", err)
	}
	err := os.Mkdir(w.Dir, 0o755)
	if err == nil {
		err = os.Chmod(w.Dir, 0o755)
	}
	if err != nil {
		w.Discard()
		return nil, fmt.Errorf("unpack layer: %w", err)
	}
	return w, nil
}

// Commit gives the layer its name. If another process was quicker its tree
// stays: it is the same one.
func (w *LayerWriter) Commit(diffID digest.Digest) error {
	final := filepath.Dir(w.s.LayerDir(diffID))
	if err := os.MkdirAll(filepath.Dir(final), 0o700); err != nil {
		return err
	}
	mark := w.s.markPath(diffID)
	if err := os.WriteFile(mark, []byte(w.s.bootID), 0o600); err != nil {
		return fmt.Errorf("commit layer: %w", err)
	}
	err := os.Rename(w.tmp, final)
	if errors.Is(err, os.ErrExist) {
		return nil // Discard removes ours
	}
	if err != nil {
		os.Remove(mark)
		return fmt.Errorf("commit layer: %w", err)
	}
	w.tmp = ""
	w.s.scheduleSync()
	return nil
}

// AdoptLayer makes the tree at dir the unpacked layer of diffID, without
// copying: dir is gone afterwards. It is false, and dir is as it was, if the
// store has that layer already or dir lies on another file system.
func (s *Store) AdoptLayer(dir string, diffID digest.Digest) (bool, error) {
	if s.HasLayer(diffID) {
		return false, nil
	}
	w, err := s.NewLayer()
	if err != nil {
		return false, err
	}
	defer w.Discard()
	err = os.Remove(w.Dir)
	if err == nil {
		err = os.Rename(dir, w.Dir)
	}
	if errors.Is(err, syscall.EXDEV) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("adopt layer: %w", err)
	}
	return true, w.Commit(diffID)
}

// Discard throws the layer away unless it was committed.
func (w *LayerWriter) Discard() error {
	if w.tmp == "" {
		return nil
	}
	return layer.RemoveAll(w.tmp)
}

// LayerSize is what an unpacked layer takes on disk, in bytes. A layer never
// changes, so it is counted once.
func (s *Store) LayerSize(ctx context.Context, diffID digest.Digest) (int64, error) {
	s.mu.Lock()
	n, ok := s.sizes[diffID]
	s.mu.Unlock()
	if ok {
		return n, nil
	}
	n, err := layer.DiskUsage(ctx, s.LayerDir(diffID))
	if err != nil {
		return n, err
	}
	s.mu.Lock()
	s.sizes[diffID] = n
	s.mu.Unlock()
	return n, nil
}

func (s *Store) markPath(diffID digest.Digest) string {
	return filepath.Join(s.unsyncedDir(), diffID.Algorithm().String()+"-"+diffID.Encoded())
}

// removeLayer takes a layer's name away before its files.
func (s *Store) removeLayer(diffID digest.Digest) error {
	tmp := filepath.Join(s.layerIngestDir(), rand.Text())
	err := os.Rename(filepath.Dir(s.LayerDir(diffID)), tmp)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove layer: %w", err)
	}
	os.Remove(s.markPath(diffID))
	s.mu.Lock()
	delete(s.sizes, diffID)
	s.mu.Unlock()
	return layer.RemoveAll(tmp)
}

// dropUnsynced removes the layers that an earlier boot did not get to disk,
// and has those of this boot synced.
func (s *Store) dropUnsynced() error {
	marks, err := os.ReadDir(s.unsyncedDir())
	if err != nil {
		return err
	}
	for _, m := range marks {
		path := filepath.Join(s.unsyncedDir(), m.Name())
		boot, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if string(boot) == s.bootID {
			s.scheduleSync()
			continue
		}
		if d := digest.Digest(strings.Replace(m.Name(), "-", ":", 1)); d.Validate() == nil {
			if err := s.removeLayer(d); err != nil {
				return err
			}
		}
		os.Remove(path)
	}
	return nil
}

// scheduleSync brings what is committed to disk, in the background.
func (s *Store) scheduleSync() {
	s.syncs.Go(func() { s.sync() })
}

func (s *Store) sync() {
	marks, err := os.ReadDir(s.unsyncedDir())
	if err != nil || len(marks) == 0 {
		return
	}
	if syncFileSystem(s.layers) != nil || syncFileSystem(s.images) != nil {
		return
	}
	for _, m := range marks { // those seen before the sync
		os.Remove(filepath.Join(s.unsyncedDir(), m.Name()))
	}
}
