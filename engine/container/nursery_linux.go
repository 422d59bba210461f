package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"devstack/engine/container/child"

	"golang.org/x/sys/unix"
)

// nursery has children made by a process that is forked for each, once it is
// there: the first one that is asked for starts it.
type nursery struct {
	exe  *os.File // protected copy of this program
	null *os.File
	// patience is how long an answer may take before somebody else is asked.
	patience time.Duration

	mu  sync.Mutex // guards now; orders go out one after the other
	now *nurse     // nil before the first order
}

// answerLimit is far more than a machine that is on its knees needs: who takes
// longer was stopped.
const answerLimit = 10 * time.Second

// errGone says that an order may or may not have been heard.
var errGone = errors.New("start child: the process that forks it has ended")

// fork starts a child for b. It has nothing to do yet but to read its program.
func (s *nursery) fork(b birth) (n *newborn, err error) {
	// Whoever ends or stops that process (an OOM killer, an administrator) has
	// done so to one only.
	for range 2 {
		if n, err = s.forkOnce(b); !errors.Is(err, errGone) {
			break
		}
	}
	return n, err
}

func (s *nursery) forkOnce(b birth) (*newborn, error) {
	w, theirs, err := newWire()
	if err != nil {
		return nil, err
	}
	pid, err := s.order(b, theirs)
	if err != nil {
		// A child that nobody told us of ends when it reads the end of its socket.
		w.close()
		return nil, err
	}
	n := &newborn{wire: w, forks: b.program.Fork}
	if err := n.adopt(pid); err != nil {
		w.close()
		return nil, err
	}
	return n, nil
}

// order has one child forked that holds the socket theirs, and closes it here.
func (s *nursery) order(b birth, theirs *os.File) (pid int, err error) {
	defer theirs.Close()
	flags := byte(0)
	if b.newPID {
		flags |= child.OrderNewPID
	}
	var fds []int
	for _, f := range b.stdio {
		if f == nil {
			f = s.null
		}
		fds = append(fds, int(f.Fd())) // and it blocks, as programs expect
	}
	fds = append(fds, int(theirs.Fd()))
	if b.target != nil {
		fd, err := number(b.target)
		if err != nil {
			return 0, err
		}
		flags |= child.OrderTarget
		fds = append(fds, fd)
	}
	if b.group != nil {
		if fd := b.group.FD(); fd >= 0 {
			flags |= child.OrderCgroup
			fds = append(fds, fd)
		}
		tasks, err := b.group.Tasks()
		defer closeAll(tasks)
		if err != nil {
			return 0, err
		}
		for _, f := range tasks {
			fds = append(fds, int(f.Fd()))
		}
	}
	if len(fds) > child.MostOrderFDs {
		return 0, fmt.Errorf("start child: %d descriptors are too many", len(fds))
	}
	nurse, answer, err := s.send(flags, fds)
	runtime.KeepAlive(b)
	if err != nil {
		return 0, err
	}
	late := time.AfterFunc(s.patience, func() { nurse.process.signal(unix.SIGKILL) })
	defer late.Stop()
	a := <-answer
	return a.pid, a.err
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func (s *nursery) send(flags byte, fds []int) (*nurse, <-chan birthday, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		return nil, nil, err
	}
	answer, err := s.now.send(flags, fds)
	return s.now, answer, err
}

func (s *nursery) ready() (err error) {
	if s.now == nil || s.now.ended() {
		s.now, err = s.start()
	}
	return err
}

// start executes the nursery's program and waits until it is one thread.
func (s *nursery) start() (*nurse, error) {
	w, theirs, err := newWire()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	pidfd := -1
	// By then the process's descriptors are in their places.
	exe := fmt.Sprintf("/proc/self/fd/%d", child.FDExe)
	pid, err := syscall.ForkExec(exe, []string{"devstack", "child"}, &syscall.ProcAttr{
		Dir: "/", Env: childEnv(),
		Files: []uintptr{s.null.Fd(), s.null.Fd(), s.null.Fd(), theirs.Fd(), s.exe.Fd()},
		Sys:   &syscall.SysProcAttr{PidFD: &pidfd},
	})
	if err != nil {
		w.close()
		return nil, fmt.Errorf("start child: %w", err)
	}
	n := &newborn{wire: w, forks: true}
	if n.process, err = newProcess(pid, pidfd, true); err != nil {
		w.close()
		return nil, err
	}
	theirs.Close()
	ctx, cancel := context.WithTimeout(context.Background(), s.patience)
	defer cancel()
	defer w.within(ctx)()
	_, body, _, err := w.next()
	if err == nil {
		err = n.follow(body)
	}
	if err != nil {
		n.discard()
		return nil, fmt.Errorf("start child: %w", err)
	}
	nurse := &nurse{newborn: n, group: pid, done: make(chan struct{})}
	go nurse.run()
	return nurse, nil
}

// childEnv makes Go's runtime small: no collector, one processor, no signals to
// itself.
func childEnv() []string {
	return []string{child.Door + "=" + child.DoorRun, "GOGC=off", "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1"}
}

// close ends the process and waits for it. Children go on.
func (s *nursery) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil {
		s.now.process.signal(unix.SIGKILL)
		<-s.now.done
	}
}

// nurse is one running process of the nursery.
type nurse struct {
	*newborn
	group int // its process group: itself, and children we have not been told of

	mu      sync.Mutex // guards what follows
	gone    bool
	waiting []chan birthday // orders without an answer, in their order
	done    chan struct{}   // closed when it is reaped
}

// birthday is the answer to an order.
type birthday struct {
	pid int
	err error
}

func (n *nurse) ended() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gone
}

func (n *nurse) send(flags byte, fds []int) (<-chan birthday, error) {
	answer := make(chan birthday, 1)
	n.mu.Lock()
	gone := n.gone
	n.waiting = append(n.waiting, answer)
	n.mu.Unlock()
	if gone {
		return nil, errGone
	}
	if err := n.wire.send([]byte{flags}, fds...); err != nil {
		n.process.signal(unix.SIGKILL) // half an order is worse than none
	}
	return answer, nil
}

// run hands answers out until the process has ended, and reaps it.
func (n *nurse) run() {
	defer close(n.done)
	for {
		kind, body, _, err := n.wire.next()
		var fault *ChildError
		switch {
		case errors.As(err, &fault):
			n.answer(birthday{err: err})
			continue
		case err == nil && kind == child.MsgPID:
			if pid, ok := child.DecodeNumber(body); ok {
				// Who is left in the nursery's group is unknown to us. A child
				// must not lead a group: it could not lead a session.
				unix.Setpgid(pid, unix.Getpgrp())
				n.answer(birthday{pid: pid})
				continue
			}
		}
		break
	}
	n.mu.Lock()
	n.gone = true
	for _, answer := range n.waiting {
		answer <- birthday{err: errGone}
	}
	n.waiting = nil
	n.mu.Unlock()
	n.discard()
	for !errors.Is(reap(unix.P_PGID, n.group), unix.ECHILD) {
	}
}

func (n *nurse) answer(a birthday) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.waiting) > 0 {
		n.waiting[0] <- a
		n.waiting = n.waiting[1:]
	}
}
