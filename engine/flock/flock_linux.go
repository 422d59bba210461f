// Package flock takes flock(2) locks on open files. Closing the file gives a
// lock back.
package flock

import (
	"context"
	"os"

	"golang.org/x/sys/unix"
)

// Try takes a lock; false means that another holds it.
func Try(f *os.File, exclusive bool) (bool, error) {
	switch err := flock(f, exclusive, unix.LOCK_NB); err {
	case nil:
		return true, nil
	case unix.EWOULDBLOCK:
		return false, nil
	default:
		return false, os.NewSyscallError("flock", err)
	}
}

// Wait takes a lock as soon as it is free, or fails when ctx ends.
func Wait(ctx context.Context, f *os.File, exclusive bool) error {
	if got, err := Try(f, exclusive); got || err != nil {
		return err
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("dup", err)
	}
	dup := os.NewFile(uintptr(fd), f.Name())
	// A thread blocks: there is nothing to poll. If ctx ends first the lock, once
	// granted, is given back here.
	done := make(chan error, 1)
	go func() {
		err := flock(dup, exclusive, 0)
		dup.Close() // the lock stays with f if that is still open
		done <- os.NewSyscallError("flock", err)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func flock(f *os.File, exclusive bool, how int) error {
	if exclusive {
		how |= unix.LOCK_EX
	} else {
		how |= unix.LOCK_SH
	}
	for {
		if err := unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}
