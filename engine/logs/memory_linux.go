package logs

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// OpenMemory maps the file at path, and makes it if it is not there. Only one
// engine at a time may. Nobody but a crash has a need of it: it may be removed
// at any time.
func OpenMemory(path string) (*Memory, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open memory of logs: %w", err)
	}
	defer f.Close()
	const size = mostPlaces * placeSize
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open memory of logs: %w", err)
	}
	if st.Size() != size {
		// Written, for a page that a full disk has no room for is a SIGBUS later.
		if _, err := f.WriteAt(make([]byte, size), 0); err != nil {
			return nil, errors.Join(fmt.Errorf("open memory of logs: %w", err), os.Remove(path))
		}
	}
	b, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("open memory of logs: %w", os.NewSyscallError("mmap", err))
	}
	m := &Memory{}
	var places []*place
	for i := range mostPlaces {
		places = append(places, (*place)(unsafe.Pointer(&b[i*placeSize])))
	}
	m.adopt(places)
	return m, nil
}
