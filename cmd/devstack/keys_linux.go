package main

import (
	"io"

	"golang.org/x/sys/unix"
)

// keyMode gives single keys without echo; Ctrl-C is a signal as ever.
func keyMode(stream io.Reader) (restore func(), err error) {
	f, ok := stream.(descriptor)
	if !ok {
		return nil, unix.ENOTTY
	}
	fd := int(f.Fd())
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	keys := *old
	keys.Lflag &^= unix.ICANON | unix.ECHO
	keys.Cc[unix.VMIN], keys.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &keys); err != nil {
		return nil, err
	}
	return func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, old) }, nil
}
