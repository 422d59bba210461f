package volumes

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	recordFile    = "volume.json"
	dataName      = "_data"
	recordVersion = 1
	newPrefix     = ".new-"
	trashPrefix   = ".trash-"
)

// Store is the volumes of one data root. Its methods may be called at once.
type Store struct {
	dir string

	mu    sync.Mutex // guards creation and removal, and locks
	locks map[string]*volumeLock
}

// volumeLock serialises the work on one volume; it lives while it has users.
type volumeLock struct {
	sync.Mutex
	users int
}

// Open opens the volumes of dataRoot, making the folder when it is missing.
func Open(dataRoot string) (*Store, error) {
	dir := filepath.Join(dataRoot, "volumes")
	// Others may pass through (a bind of _data must be reachable for any
	// user of a container) but not look around.
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("open volumes: %w", err)
	}
	return &Store{dir: dir, locks: map[string]*volumeLock{}}, nil
}

// Create makes a volume, or gives the one that has the name already (see
// Volume.Differs). After a crash a volume exists wholly or not at all.
func (s *Store) Create(ctx context.Context, spec Spec) (Volume, error) {
	if err := spec.check(); err != nil {
		return Volume{}, err
	}
	if err := ctx.Err(); err != nil {
		return Volume{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, err := s.Lookup(spec.Name); !errors.Is(err, ErrNotFound) {
		return v, err
	}
	v := Volume{
		Version: recordVersion, Name: spec.Name, Driver: DriverLocal,
		DriverOpts: maps.Clone(spec.DriverOpts), Labels: maps.Clone(spec.Labels),
		Project: spec.Project, Anonymous: spec.Anonymous,
		Created: time.Now().UTC(),
		Path:    filepath.Join(s.dir, spec.Name, dataName),
	}
	if err := s.make(v); err != nil {
		return Volume{}, fmt.Errorf("create volume %q: %w", v.Name, err)
	}
	return v, nil
}

func (s *Store) make(v Volume) error {
	tmp, err := os.MkdirTemp(s.dir, newPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) // nothing is left there after the rename
	if err := os.Chmod(tmp, 0o711); err != nil {
		return err
	}
	data := filepath.Join(tmp, dataName)
	if err := os.Mkdir(data, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(data, 0o755); err != nil { // whatever the umask
		return err
	}
	record, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	// The record of an anonymous volume is worth nothing without the
	// container that names it, so it need not reach the disk by itself.
	durable := !v.Anonymous
	if err := writeFile(filepath.Join(tmp, recordFile), append(record, '\n'), durable); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(s.dir, v.Name)); err != nil {
		return err
	}
	if durable {
		return syncDir(s.dir)
	}
	return nil
}

// Lookup gives the volume with the name, or ErrNotFound.
func (s *Store) Lookup(name string) (Volume, error) {
	if err := CheckName(name); err != nil {
		return Volume{}, err
	}
	data, err := os.ReadFile(filepath.Join(s.dir, name, recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Volume{}, fmt.Errorf("volume %q: %w", name, ErrNotFound)
	}
	if err != nil {
		return Volume{}, fmt.Errorf("read volume %q: %w", name, err)
	}
	var v Volume
	if err := json.Unmarshal(data, &v); err != nil {
		return Volume{}, fmt.Errorf("read volume %q: %w", name, err)
	}
	if v.Name != name || v.Version != recordVersion {
		return Volume{}, fmt.Errorf("read volume %q: record is of %q, version %d", name, v.Name, v.Version)
	}
	v.Path = filepath.Join(s.dir, name, dataName)
	return v, nil
}

// List gives all volumes, sorted by name. A volume whose record cannot be
// read is left out and reported in the error beside the rest.
func (s *Store) List() ([]Volume, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	var (
		all  []Volume
		errs []error
	)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		v, err := s.Lookup(e.Name())
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b Volume) int { return cmp.Compare(a.Name, b.Name) })
	return all, errors.Join(errs...)
}

// Remove deletes a volume and its data; a volume that is not there is no
// error. It vanishes at once (a rename), then its files go; what a crash
// leaves of them Sweep deletes. It does not follow mounts or symbolic links
// out of the volume, and leaves the device of a bind volume alone.
func (s *Store) Remove(ctx context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	trash := trashPrefix + AnonymousName()[:16]
	defer s.lock(name)()
	s.mu.Lock()
	err := os.Rename(filepath.Join(s.dir, name), filepath.Join(s.dir, trash))
	s.mu.Unlock()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove volume %q: %w", name, err)
	}
	if err := s.deleteTree(ctx, trash); err != nil {
		return fmt.Errorf("remove volume %q: %w", name, err)
	}
	return nil
}

// Sweep deletes what interrupted creations and removals left behind.
func (s *Store) Sweep(ctx context.Context) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("sweep volumes: %w", err)
	}
	var errs []error
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, newPrefix) && !strings.HasPrefix(name, trashPrefix) {
			continue
		}
		if err := s.deleteTree(ctx, name); err != nil {
			errs = append(errs, fmt.Errorf("sweep volumes: %w", err))
		}
	}
	return errors.Join(errs...)
}

// lock holds the volume's own lock until the returned function is called.
func (s *Store) lock(name string) (unlock func()) {
	s.mu.Lock()
	l, ok := s.locks[name]
	if !ok {
		l = new(volumeLock)
		s.locks[name] = l
	}
	l.users++
	s.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(s.locks, name)
		}
	}
}

func writeFile(path string, data []byte, durable bool) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if durable {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return f.Close()
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
