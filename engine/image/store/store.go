package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/semaphore"

	"devstack/engine/image"
	"devstack/engine/image/flight"
	"devstack/engine/image/layer"
)

// ErrNotFound says that the store has no such image, blob or layer.
var ErrNotFound = image.ErrNotFound

// Store is an open image store. It is safe for concurrent use.
type Store struct {
	images string // DATA/images
	layers string // DATA/layers
	bootID string

	// Images and Layers let concurrent requests for one thing share the
	// work: keys are references with platform and policy, and diff-ids.
	Images flight.Group[image.Image, Progress]
	Layers flight.Group[struct{}, Progress]

	// Memory bounds what decoders of layers take together, and Slots how many
	// layers, of whatever images, are on their way at once.
	Memory *semaphore.Weighted
	Slots  *semaphore.Weighted

	mu     sync.Mutex
	index  cachedIndex
	loaded map[digest.Digest]image.Image // by manifest, without Ref and Digest
	sizes  map[digest.Digest]int64       // of unpacked layers, by diff-id

	syncs sync.WaitGroup
}

// layersAtOnce bounds memory: a layer takes a few MiB of buffers.
const layersAtOnce = 8

// Open opens the store beneath dataRoot, making it where it is missing, and
// clears away what an earlier process left half done.
func Open(dataRoot string) (*Store, error) {
	s := &Store{
		images: filepath.Join(dataRoot, "images"),
		layers: filepath.Join(dataRoot, "layers"),
		loaded: map[digest.Digest]image.Image{}, sizes: map[digest.Digest]int64{},
		Memory: semaphore.NewWeighted(layer.MemorySize), Slots: semaphore.NewWeighted(layersAtOnce),
	}
	for _, dir := range []string{s.blobDir("sha256"), s.ingestDir(), s.layerIngestDir(), s.unsyncedDir(), filepath.Join(s.layers, "sha256")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open image store: %w", err)
		}
	}
	layout := filepath.Join(s.images, "oci-layout")
	if _, err := os.Lstat(layout); errors.Is(err, os.ErrNotExist) {
		if err := s.writeFile(layout, []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
			return nil, fmt.Errorf("open image store: %w", err)
		}
	}
	s.bootID = bootID()
	if err := s.recover(); err != nil {
		return nil, fmt.Errorf("recover image store: %w", err)
	}
	return s, nil
}

// Progress tells how far a layer has come on its way into the store.
type Progress struct {
	Image   string        // canonical reference; "" where only the layer is known
	Layer   digest.Digest // "" speaks of the image as a whole
	State   string
	Current int64 // bytes
	Total   int64
}

// States of a Progress.
const (
	Resolving   = "resolving"
	Exists      = "exists"
	Downloading = "downloading" // and unpacking at the same time
	Unpacking   = "unpacking"   // from a blob that is here
	Done        = "done"
)

// Close waits for what goes on in the background.
func (s *Store) Close() { s.syncs.Wait() }

func (s *Store) blobDir(alg string) string { return filepath.Join(s.images, "blobs", alg) }
func (s *Store) ingestDir() string         { return filepath.Join(s.images, "ingest") }
func (s *Store) layerIngestDir() string    { return filepath.Join(s.layers, "ingest") }
func (s *Store) unsyncedDir() string       { return filepath.Join(s.layers, "unsynced") }

// recover removes the remains of dead processes, unless a living one is at
// work here.
func (s *Store) recover() error {
	unlock, err := s.tryLockExclusive()
	if err != nil || unlock == nil {
		return err
	}
	defer unlock()
	for _, dir := range []string{s.ingestDir(), s.layerIngestDir()} {
		if err := emptyDir(dir); err != nil {
			return err
		}
	}
	return s.dropUnsynced()
}

func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := layer.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Begin announces that blobs or layers are going to be written: garbage is
// not collected until the returned function is called.
func (s *Store) Begin(ctx context.Context) (end func(), err error) {
	return s.lockShared(ctx)
}
