package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"devstack/engine/container/child"

	"golang.org/x/sys/unix"
)

// wire is the parent's end of the child's socket.
type wire struct {
	f *os.File

	got []byte   // of the message that is being read
	fd  *os.File // that came with it
}

// newWire returns both ends; ours is in the netpoller, the child's blocks.
func newWire() (*wire, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket: %w", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, fmt.Errorf("make socket: %w", err)
	}
	return &wire{f: os.NewFile(uintptr(fds[0]), "child")}, os.NewFile(uintptr(fds[1]), "parent"), nil
}

func (w *wire) close() error {
	if w.fd != nil {
		w.fd.Close()
		w.fd = nil
	}
	return w.f.Close()
}

// within interrupts reads and writes when ctx ends, until stop has returned.
func (w *wire) within(ctx context.Context) (stop func()) {
	done := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(done)
		w.f.SetDeadline(time.Unix(1, 0))
	})
	return sync.OnceFunc(func() {
		if !cancel() {
			<-done
		}
	})
}

func (w *wire) write(b []byte) error {
	_, err := w.f.Write(b)
	return err
}

// send writes b; descriptors, if there are any, go with the first byte.
func (w *wire) send(b []byte, fds ...int) error {
	if len(fds) == 0 {
		return w.write(b)
	}
	conn, err := w.f.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = conn.Write(func(to uintptr) bool {
		serr = unix.Sendmsg(int(to), b[:1], unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL)
		return !errors.Is(serr, unix.EAGAIN)
	})
	if err = errors.Join(err, serr); err != nil {
		return fmt.Errorf("write to child: %w", err)
	}
	if len(b) == 1 {
		return nil
	}
	return w.write(b[1:])
}

// endWrites lets the child read the end of what we had to say.
func (w *wire) endWrites() {
	if conn, err := w.f.SyscallConn(); err == nil {
		conn.Control(func(fd uintptr) { unix.Shutdown(int(fd), unix.SHUT_WR) })
	}
}

// next reads one message. A fault comes as *ChildError, the end as io.EOF. What
// it has read of a message when it is interrupted stays for the next call.
func (w *wire) next() (kind byte, body []byte, fd *os.File, err error) {
	if err := w.fill(child.MessageHead); err != nil {
		return 0, nil, nil, err
	}
	kind, length := child.DecodeHead(w.got)
	const most = 1 << 20
	if length < 0 || length > most {
		return 0, nil, nil, errors.New("read from child: message too long")
	}
	if err := w.fill(child.MessageHead + length); err != nil {
		return 0, nil, nil, err
	}
	body, fd = w.got[child.MessageHead:], w.fd
	w.got, w.fd = nil, nil
	if kind == child.MsgFault {
		fault, ok := child.DecodeFault(body)
		if !ok {
			return 0, nil, nil, errors.New("read from child: malformed fault")
		}
		return kind, nil, nil, &ChildError{fault.Op, fault.Path, fault.Errno, fault.Text}
	}
	return kind, body, fd, nil
}

// fill reads until n bytes of the present message are there.
func (w *wire) fill(n int) error {
	for len(w.got) < n {
		b := make([]byte, n-len(w.got))
		read, fd, err := w.receive(b)
		w.got = append(w.got, b[:read]...)
		if fd != nil {
			w.fd = fd
		}
		if errors.Is(err, io.EOF) && len(w.got) > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// receive reads some bytes and the descriptor that may come with them.
func (w *wire) receive(b []byte) (n int, f *os.File, err error) {
	conn, err := w.f.SyscallConn()
	if err != nil {
		return 0, nil, err
	}
	oob := make([]byte, unix.CmsgSpace(4))
	var oobn int
	rerr := conn.Read(func(fd uintptr) bool {
		n, oobn, _, _, err = unix.Recvmsg(int(fd), b, oob, unix.MSG_CMSG_CLOEXEC)
		return !errors.Is(err, unix.EAGAIN)
	})
	if err = errors.Join(rerr, err); err != nil {
		return 0, nil, fmt.Errorf("read from child: %w", err)
	}
	if n == 0 {
		return 0, nil, io.EOF
	}
	if oobn == 0 {
		return n, nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		return n, nil, fmt.Errorf("read descriptor from child: %w", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return n, nil, fmt.Errorf("read descriptor from child: %w", err)
	}
	unix.SetNonblock(fds[0], true)
	return n, os.NewFile(uintptr(fds[0]), "console"), nil
}
