package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"devstack/engine/api"
	"devstack/engine/guard"

	"golang.org/x/sys/unix"
)

// rejoin connects to the engine of these roots whose socket's file somebody has
// removed, and puts a link to the socket in its place. Without such an engine
// it returns nil.
func rejoin(ctx context.Context, o Options) *conn {
	h, ok := guard.ReadHolder(o.Roots.DataLock())
	if !ok || h.Run != o.Roots.Run || !h.Alive() {
		return nil
	}
	c, err := dialSocket(ctx, h.Socket())
	if err != nil {
		return nil
	}
	if err := makeRunRoot(o.Roots.Run); err == nil {
		// Where this fails the next client comes this way again.
		_ = os.Symlink(h.Socket(), o.Roots.Socket())
	}
	return newConn(c)
}

// lockPatience is how long a lock may stay with somebody who cannot be reached:
// one who is about to end, or to begin.
const lockPatience = 5 * time.Second

// holdData locks the data root for the guard to come. If an engine of the same
// roots has it, that engine's connection is returned instead.
func holdData(ctx context.Context, o Options) (lock *os.File, cn *conn, err error) {
	for begin := time.Now(); ; {
		if lock, err = openLock(o.Roots.Data, o.Roots.DataLock()); err != nil {
			return nil, nil, err
		}
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil && stillThere(lock), noLocks(err):
			return lock, nil, nil
		case err == nil || err == unix.EINTR:
			lock.Close()
			continue
		case err != unix.EWOULDBLOCK:
			lock.Close()
			return nil, nil, fmt.Errorf("lock data root: %w", err)
		}
		h, known := guard.ReadHolder(lock.Name())
		switch {
		case known && h.Run != o.Roots.Run && h.Alive():
			lock.Close()
			return nil, nil, &api.Error{
				Message: fmt.Sprintf("data root %s is in use by the engine of run root %s (pid %d)", o.Roots.Data, h.Run, h.PID),
				Hint:    "use that run root (DEVSTACK_RUN_ROOT), or another data root (DEVSTACK_DATA_ROOT)",
			}
		case known:
			if cn = rejoin(ctx, o); cn != nil {
				lock.Close()
				return nil, cn, nil
			}
		}
		if time.Since(begin) > lockPatience {
			lock.Close()
			return nil, nil, &api.Error{
				Message: fmt.Sprintf("data root %s is in use by an engine that cannot be reached", o.Roots.Data),
				Hint:    "`fuser " + lock.Name() + "` tells which process it is",
			}
		}
		if err := waitFor(ctx, lock); err != nil {
			return nil, nil, err
		}
	}
}

// openLock opens the lock's file; one on a disk that is read-only serves, too.
func openLock(dir, path string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data root: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		return f, nil
	}
	if f, again := os.Open(path); again == nil {
		return f, nil
	}
	return nil, fmt.Errorf("open lock of data root: %w", err)
}

// stillThere says whether f is what its path leads to.
func stillThere(f *os.File) bool {
	a, aerr := f.Stat()
	b, berr := os.Stat(f.Name())
	return aerr == nil && berr == nil && os.SameFile(a, b)
}

// noLocks says that the file system has none.
func noLocks(err error) bool {
	return errors.Is(err, unix.ENOLCK) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS)
}

// waitFor waits until the lock is free, up to lockPatience; it closes lock.
func waitFor(ctx context.Context, lock *os.File) error {
	free := make(chan error, 1)
	go func() {
		defer lock.Close()
		free <- flock(lock)
	}()
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	select {
	case err := <-free:
		return err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil
		}
		return context.Cause(ctx)
	}
}
