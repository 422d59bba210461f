package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"devstack/engine/cgroup"
	"devstack/engine/container/child"

	"golang.org/x/sys/unix"
)

// birth is what it takes to start a child.
type birth struct {
	program *child.Program
	group   *cgroup.Group // may be nil
	stdio   [3]*os.File   // nil: /dev/null
	newPID  bool

	root   func() (*os.File, error) // to send with the program; may be nil
	target *os.File                 // at child.FDTarget; may be nil
}

// A newborn is a child that has set everything up and waits for the order to
// execute.
type newborn struct {
	process *process
	console *os.File
	wire    *wire
	forks   bool // process will fork another in its place, and has not yet
}

// bear starts a child and brings it to readiness. On error nothing of it is
// left.
func (rt *Runtime) bear(ctx context.Context, b birth) (*newborn, error) {
	n, err := rt.nursery.fork(b)
	if err != nil {
		return nil, err
	}
	stop := n.wire.within(ctx)
	defer stop()
	if err := n.raise(b); err != nil {
		stop()
		n.discard()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	return n, nil
}

// raise sends the program and follows the child until it is ready.
func (n *newborn) raise(b birth) error {
	var fds []int
	if b.root != nil {
		root, err := b.root()
		if err != nil {
			return err
		}
		fd, err := number(root)
		if err != nil {
			return err
		}
		fds = append(fds, fd)
	}
	// A child that fails early closes the socket while we write; its fault says
	// more than EPIPE.
	werr := n.wire.send(b.program.Encode(), fds...)
	for {
		kind, body, fd, err := n.wire.next()
		switch {
		case errors.Is(err, io.EOF):
			return errors.Join(errors.New("start child: it ended without a word"), werr)
		case err != nil:
			return err
		}
		switch kind {
		case child.MsgPID:
			if err := n.follow(body); err != nil {
				return err
			}
		case child.MsgConsole:
			n.console = fd
		case child.MsgReady:
			return nil
		}
	}
}

// follow turns to the process that the child has forked in its place.
func (n *newborn) follow(body []byte) error {
	pid, ok := child.DecodeNumber(body)
	if !ok {
		return errors.New("read from child: malformed pid")
	}
	n.forks = false
	first := n.process
	if err := n.adopt(pid); err != nil {
		return err
	}
	first.watch(nil)
	first.close()
	return nil
}

// adopt makes pid the process. It is our child, and not reaped: the pid cannot
// be anybody else's.
func (n *newborn) adopt(pid int) error {
	pidfd, err := unix.PidfdOpen(pid, 0)
	var p *process
	if err == nil {
		p, err = newProcess(pid, pidfd, true)
	}
	if err != nil {
		unix.Kill(pid, unix.SIGKILL)
		reap(unix.P_PID, pid)
		return fmt.Errorf("watch process %d: %w", pid, err)
	}
	n.process = p
	return nil
}

// discard kills and reaps. A child that forks is followed first: the process
// it leaves would be ours to reap, and its container's pid namespace could not
// end while it is a zombie. Where the first half was killed before it could
// tell, the second is found by the first one's process group.
func (n *newborn) discard() {
	n.wire.f.SetDeadline(time.Time{})
	n.wire.endWrites() // a child that still reads its program gives up
	for n.forks {
		kind, body, fd, err := n.wire.next()
		if fd != nil {
			fd.Close()
		}
		if err != nil || kind == child.MsgPID && n.follow(body) != nil {
			break
		}
	}
	n.wire.close()
	if n.console != nil {
		n.console.Close()
	}
	n.process.signal(unix.SIGKILL)
	if n.forks { // not reaped yet, so the group is nobody else's
		unix.Kill(-n.process.pid, unix.SIGKILL)
	}
	n.process.watch(nil)
	if n.forks {
		reap(unix.P_PGID, n.process.pid)
	}
	n.process.close()
}

// reap waits for a child that was killed, if it is there.
func reap(kind, id int) error {
	for {
		err := unix.Waitid(kind, id, nil, unix.WEXITED, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// start gives the order and waits for execve: the socket ends with it.
func (n *newborn) start(ctx context.Context) error {
	defer n.wire.close()
	defer n.wire.within(ctx)()
	werr := n.wire.write([]byte{child.MsgStart})
	_, _, _, err := n.wire.next()
	switch {
	case errors.Is(err, io.EOF) && werr == nil:
		return nil
	case errors.Is(err, io.EOF):
		return fmt.Errorf("start process: %w", werr)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return err
}

// number is f.Fd() without taking f out of non-blocking mode.
func number(f *os.File) (fd int, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	err = conn.Control(func(n uintptr) { fd = int(n) })
	return fd, err
}
