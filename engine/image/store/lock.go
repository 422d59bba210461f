package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"devstack/engine/flock"
)

func (s *Store) openLock(name string) (*os.File, error) {
	return os.OpenFile(filepath.Join(s.images, name), os.O_RDWR|os.O_CREATE, 0o600)
}

// lock takes a lock, waiting for it as long as ctx lasts; closing the file
// gives it back.
func (s *Store) lock(ctx context.Context, name string, exclusive bool) (func(), error) {
	f, err := s.openLock(name)
	if err != nil {
		return nil, fmt.Errorf("lock image store: %w", err)
	}
	if err := flock.Wait(ctx, f, exclusive); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock image store: %w", err)
	}
	return func() { f.Close() }, nil
}

func (s *Store) lockShared(ctx context.Context) (func(), error) {
	return s.lock(ctx, "lock", false)
}

func (s *Store) tryLockExclusive() (func(), error) {
	f, err := s.openLock("lock")
	if err != nil {
		return nil, err
	}
	got, err := flock.Try(f, true)
	if err != nil || !got {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
