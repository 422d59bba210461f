package copy

import (
	"io"

	"golang.org/x/sys/unix"

	"devstack/engine/build/source"
)

const (
	bufSize   = 256 << 10
	smallFile = 64 << 10 // up to here reading and writing is cheapest
)

// content fills the empty file out with what in holds: by sharing blocks where
// the file system can, else inside the kernel, else by hand. Holes stay holes.
func (w *writer) content(in, out int, e *source.Entry) error {
	size := e.Stat.Size
	if size == 0 {
		return nil
	}
	if size > smallFile && !w.noClone {
		if err := unix.IoctlFileClone(out, in); err == nil {
			return nil
		}
		w.noClone = true
	}
	if e.Stat.Blocks*512 < size && size > smallFile {
		return w.sparse(in, out, size)
	}
	return w.span(in, out, size)
}

// sparse copies what SEEK_DATA finds.
func (w *writer) sparse(in, out int, size int64) error {
	if err := unix.Ftruncate(out, size); err != nil {
		return err
	}
	for at := int64(0); at < size; {
		data, err := unix.Seek(in, at, unix.SEEK_DATA)
		if err == unix.ENXIO { // only a hole is left
			return nil
		}
		if err != nil {
			if at > 0 {
				return err
			}
			if _, err := unix.Seek(in, 0, io.SeekStart); err != nil {
				return err
			}
			return w.span(in, out, size)
		}
		hole, err := unix.Seek(in, data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		for _, fd := range []int{in, out} {
			if _, err := unix.Seek(fd, data, io.SeekStart); err != nil {
				return err
			}
		}
		if err := w.span(in, out, hole-data); err != nil {
			return err
		}
		at = hole
	}
	return nil
}

// span copies n bytes from where both files are, or up to the end of in.
func (w *writer) span(in, out int, n int64) error {
	moved := false
	for n > smallFile && !w.noRange {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		done, err := unix.CopyFileRange(in, nil, out, nil, int(min(n, 64<<20)), 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil && !moved {
			w.noRange = true // across file systems, or not supported
			break
		}
		if err != nil {
			return err
		}
		if done == 0 {
			return nil
		}
		moved = true
		n -= int64(done)
	}
	if w.buf == nil {
		w.buf = make([]byte, bufSize)
	}
	for n > 0 {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		got, err := unix.Read(in, w.buf[:min(n, bufSize)])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if got == 0 {
			return nil
		}
		if err := writeAll(out, w.buf[:got]); err != nil {
			return err
		}
		n -= int64(got)
	}
	return nil
}
