package engine

import (
	"errors"
	"fmt"
	"io"
	"os"

	"devstack/engine/guard"
	"devstack/engine/state"

	"golang.org/x/sys/unix"
)

// dataRoot is the lock of the data root, which the guard has kept. Without a
// lock (a client or a file system that knows of none) all is well, too.
type dataRoot struct {
	roots state.Roots
	link  *guard.Link
	lock  *os.File // may be nil
	door  *os.File // may be nil
}

// takeData takes over what the guard has kept and makes the data root again if
// somebody has removed it. Once the guard is gone, this process answers for the
// lock.
func takeData(link *guard.Link, roots state.Roots) (*dataRoot, error) {
	d := &dataRoot{roots: roots, link: link, lock: link.Restored()[guard.Lock], door: link.Restored()[guard.Door]}
	delete(link.Restored(), guard.Lock)
	delete(link.Restored(), guard.Door)
	if d.gone() {
		if err := d.again(); err != nil {
			return nil, fmt.Errorf("make data root %s again: %w", roots.Data, err)
		}
	}
	go func() {
		<-link.Done()
		if d.lock != nil && d.door != nil {
			guard.Hold(int(d.lock.Fd()), int(d.door.Fd()), roots.Run)
		}
	}()
	return d, nil
}

// gone says whether the root is no longer what was locked: somebody has removed
// it under the engine, or put another in its place.
func (d *dataRoot) gone() bool {
	if d.lock == nil {
		return false
	}
	held, err := d.lock.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(d.roots.DataLock())
	return errors.Is(err, os.ErrNotExist) || err == nil && !os.SameFile(held, now)
}

// again makes the root and locks it.
func (d *dataRoot) again() error {
	if err := os.MkdirAll(d.roots.Data, 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(d.roots.DataLock(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == unix.EWOULDBLOCK {
		err = errors.New("another engine uses what is there now")
	}
	if err == nil {
		err = d.copyHolder(lock)
	}
	if err == nil {
		err = d.link.Keep(guard.Lock, lock)
	}
	if err != nil {
		lock.Close()
		return err
	}
	d.lock.Close()
	d.lock = lock
	return nil
}

// copyHolder writes who holds the lock, which is still in the file that was
// removed.
func (d *dataRoot) copyHolder(lock *os.File) error {
	line, err := io.ReadAll(io.NewSectionReader(d.lock, 0, 8<<10))
	if err != nil {
		return err
	}
	if err := lock.Truncate(0); err != nil {
		return err
	}
	_, err = lock.WriteAt(line, 0)
	return err
}
