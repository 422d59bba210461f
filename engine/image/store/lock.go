package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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
	got, err := flock(f, exclusive, false)
	if err == nil && !got {
		err = waitLock(ctx, f, exclusive)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock image store: %w", err)
	}
	return func() { f.Close() }, nil
}

// waitLock blocks a thread in flock(2): there is nothing to poll. If ctx ends
// first the lock, once granted, is given back by the goroutine that waits.
func waitLock(ctx context.Context, f *os.File, exclusive bool) error {
	dup, err := dupFile(f)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		_, err := flock(dup, exclusive, true)
		dup.Close() // the lock stays with f if that is still open
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) lockShared(ctx context.Context) (func(), error) {
	return s.lock(ctx, "lock", false)
}

func (s *Store) tryLockExclusive() (func(), error) {
	f, err := s.openLock("lock")
	if err != nil {
		return nil, err
	}
	got, err := flock(f, true, false)
	if err != nil || !got {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
