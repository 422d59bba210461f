package logs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// MakePipe makes the FIFO for one of a container's streams, or finds it again,
// and opens both ends. The container gets write; read is for Copy, and the
// guard keeps a duplicate of it.
//
// Both ends are open for reading and writing: no writer gets SIGPIPE when the
// engine is gone, no reader sees an end before or between the container's runs.
// Any user inside the container may open /dev/stdout again, which is this file;
// others cannot reach it through its folder.
func MakePipe(path string) (read, write *os.File, err error) {
	if err := unix.Mkfifo(path, 0o600); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, nil, fmt.Errorf("make pipe %s: %w", path, err)
	}
	if err := unix.Chmod(path, 0o666); err != nil {
		return nil, nil, fmt.Errorf("make pipe %s: %w", path, err)
	}
	if read, err = openPipe(path, unix.O_NONBLOCK); err != nil {
		return nil, nil, err
	}
	// An open file of its own: the container must not see the engine's O_NONBLOCK.
	if write, err = openPipe(path, 0); err != nil {
		read.Close()
		return nil, nil, err
	}
	return read, write, nil
}

// OpenPipe opens the read end of a FIFO that MakePipe has made.
func OpenPipe(path string) (*os.File, error) { return openPipe(path, unix.O_NONBLOCK) }

// openPipe avoids os.OpenFile, which would make any pipe non-blocking.
func openPipe(path string, flags int) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW|flags, 0)
	if err != nil {
		return nil, fmt.Errorf("open pipe %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Drain tells the Copy that reads r that the container has ended: it takes what
// is in the pipe and returns. Call it once for each Copy; it may come first.
func Drain(r *os.File) error { return r.SetReadDeadline(time.Unix(1, 0)) }

// Copy takes everything from r, a pipe's or terminal's non-blocking end, into
// the journal until Drain (or the end of r), and returns nil; or until ctx ends,
// and leaves in the pipe what it has not read, for the next engine.
func (j *Journal) Copy(ctx context.Context, stream string, r *os.File) error {
	i, err := index(stream)
	if err != nil {
		return err
	}
	raw, err := r.SyscallConn()
	if err != nil {
		return fmt.Errorf("copy %s: %w", stream, err)
	}
	if err := makeNonblocking(r, raw); err != nil {
		return fmt.Errorf("copy %s: %w", stream, err)
	}
	stop := context.AfterFunc(ctx, func() { r.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	c := copier{j: j, stream: stream, index: i}
	for err == nil {
		// raw.Read parks until c.read finds something.
		if err = raw.Read(c.read); err == nil {
			err = c.end
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = c.drain(r, raw)
		r.SetReadDeadline(time.Time{}) // for the next run
	}
	if errors.Is(err, errEnd) {
		err = nil
	}
	return errors.Join(err, j.endLine(i))
}

// terminalEnd is how long a Drain waits for the end of a terminal that somebody
// else has open.
const terminalEnd = 200 * time.Millisecond

// maxPipe is the size up to which the kernel's default lets a pipe grow.
const maxPipe = 1 << 20

// errEnd is the end of a stream.
var errEnd = errors.New("end of stream")

// makeNonblocking undoes what a call of r.Fd may have done, and refuses files
// that the runtime cannot wait for: Drain could not end their Copy.
func makeNonblocking(r *os.File, raw syscall.RawConn) error {
	if err := r.SetWriteDeadline(time.Time{}); err != nil {
		return err
	}
	var err error
	if cerr := raw.Control(func(fd uintptr) { err = unix.SetNonblock(int(fd), true) }); cerr != nil {
		return cerr
	}
	return err
}

type copier struct {
	j      *Journal
	stream string
	index  int   // of the stream
	taken  int   // bytes
	end    error // why there is no more
}

// drain takes what is in the pipe. Somebody who goes on writing after the
// container's end does not hold it up: a pipe holds at most maxPipe bytes.
func (c *copier) drain(r *os.File, raw syscall.RawConn) error {
	terminal := false
	limit := c.taken + maxPipe
	for c.end == nil && c.taken < limit {
		empty := false
		if err := raw.Control(func(fd uintptr) {
			empty = !c.read(fd)
			_, err := unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
			terminal = err == nil
		}); err != nil {
			return err
		}
		if empty {
			break
		}
	}
	if c.end != nil || !terminal {
		return c.end
	}
	// What was written to a terminal comes a moment later, and then its end,
	// unless somebody still has it open.
	r.SetReadDeadline(time.Now().Add(terminalEnd))
	for c.end == nil {
		if err := raw.Read(c.read); err != nil {
			return nil
		}
	}
	return c.end
}

// read takes one read's worth; it says no when there is nothing to read. The
// buffer is taken only now, so a stream that is idle holds none.
func (c *copier) read(fd uintptr) bool {
	b := buffers.Get().(*buffer)
	defer buffers.Put(b)
	in := b.in[:]
	pl := c.j.options.Memory.take(c.j.owner, c.index)
	if pl != nil {
		defer c.j.options.Memory.give(pl)
		in = pl.data[:]
	}
	n, err := unix.Read(int(fd), in)
	for err == unix.EINTR {
		n, err = unix.Read(int(fd), in)
	}
	switch {
	case err == unix.EAGAIN:
		return false
	case err == unix.EIO: // a terminal whose last user has gone
		c.end = errEnd
	case err != nil:
		c.end = fmt.Errorf("read %s: %w", c.stream, err)
	case n == 0:
		c.end = errEnd
	default:
		c.taken += n
		if pl != nil {
			pl.hold(n)
		}
		c.take(b, pl, in[:n])
	}
	return true
}

func (c *copier) take(b *buffer, pl *place, p []byte) {
	now := time.Now()
	for _, t := range c.j.tapped() {
		t.fn(c.stream, p)
	}
	if err := c.j.add(b, pl, c.stream, now, p); errors.Is(err, ErrClosed) {
		c.end = err
	} // other errors were reported to OnError: the container goes on
}
