package guard

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"
)

// Link is the engine's end of the line to its guard. Its methods may be called
// by several goroutines at once.
type Link struct {
	file       *os.File
	raw        syscall.RawConn
	guardPID   int
	generation int
	restored   map[string]*os.File
	done       chan struct{} // closed when the guard is gone or the link closed

	mu      sync.Mutex
	exits   []Exit // arrived, nobody has asked yet
	waiters map[process]chan Exit
	syncs   uint32
	synced  map[uint32]chan struct{}
}

// Connect takes up the line to the guard that started this process. Without
// one it returns ErrNoGuard. It may be called once.
func Connect() (*Link, error) {
	value := os.Getenv(linkVariable)
	if value == "" {
		return nil, ErrNoGuard
	}
	os.Unsetenv(linkVariable) // it is nobody's below this process
	fd := atoi(value)
	if fd < 0 {
		return nil, ErrNoGuard
	}
	syscall.CloseOnExec(fd)
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, os.NewSyscallError("use guard socket", err)
	}
	setHangup(hangupDefault)
	l := &Link{
		file:     os.NewFile(uintptr(fd), "guard"),
		restored: map[string]*os.File{},
		done:     make(chan struct{}),
		waiters:  map[process]chan Exit{},
		synced:   map[uint32]chan struct{}{},
	}
	raw, err := l.file.SyscallConn()
	if l.raw = raw; err == nil {
		err = l.hear(true)
	}
	if err != nil {
		l.file.Close()
		for _, f := range l.restored {
			f.Close()
		}
		return nil, err
	}
	go func() {
		defer close(l.done)
		l.hear(false)
	}()
	return l, nil
}

// GuardPID is the guard's process id.
func (l *Link) GuardPID() int { return l.guardPID }

// Generation counts the engines that the guard has started, from 1.
func (l *Link) Generation() int { return l.generation }

// Restored is what the guard had kept when this engine started, by name. The
// files belong to the caller; who has no use for one closes and drops it.
func (l *Link) Restored() map[string]*os.File { return l.restored }

// Done is closed when the guard is gone. Nothing is restarted or kept then; the
// engine may go on, and the next guard starts with the next engine.
func (l *Link) Done() <-chan struct{} { return l.done }

// Keep gives the guard a duplicate of f under name, in place of any earlier one.
// With the guard gone nobody keeps anything, which is no fault of the caller's.
func (l *Link) Keep(name string, f *os.File) error {
	if name == "" || len(name) > MaxName {
		return os.NewSyscallError("keep descriptor: name", syscall.ENAMETOOLONG)
	}
	conn, err := f.SyscallConn() // f.Fd() could make f blocking
	if err != nil {
		return err
	}
	var sendErr error
	if err := conn.Control(func(fd uintptr) { sendErr = l.send(named(opKeep, name), syscall.UnixRights(int(fd))) }); err != nil {
		return err
	}
	return unlessGone(sendErr)
}

// Drop makes the guard close what it keeps under name.
func (l *Link) Drop(name string) error { return unlessGone(l.send(named(opDrop, name), nil)) }

// syncLimit bounds Sync: guards of earlier versions do not answer.
const syncLimit = time.Second

// Sync returns when the guard has done all that it was told before: what was
// dropped is closed.
func (l *Link) Sync() {
	l.mu.Lock()
	l.syncs++
	n, done := l.syncs, make(chan struct{})
	l.synced[n] = done
	l.mu.Unlock()
	timer := time.NewTimer(syncLimit)
	defer timer.Stop()
	if l.send(packet(opSync, n), nil) == nil {
		select {
		case <-done:
		case <-l.done:
		case <-timer.C:
		}
	}
	l.mu.Lock()
	delete(l.synced, n)
	l.mu.Unlock()
}

// answered wakes those whose Sync was n or earlier.
func (l *Link) answered(n uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, done := range l.synced {
		if k <= n {
			close(done)
			delete(l.synced, k)
		}
	}
}

func unlessGone(err error) error {
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return err
}

// UseBinary makes the guard start the next engines from path. The engine then
// ends with StatusRestart. Where the guard is gone it has nothing to do: the
// next client brings its own.
func (l *Link) UseBinary(path string) error { return unlessGone(l.send(named(opUse, path), nil)) }

// Serving says that this engine has come as far as to answer clients. Those of
// one that dies earlier, again and again, are turned away.
func (l *Link) Serving() error { return unlessGone(l.send(packet(opServing), nil)) }

// Goodbye makes the guard end with this engine, whatever its exit status. If
// a client has come to the door meanwhile, a new engine starts instead.
func (l *Link) Goodbye() error { return l.send(packet(opBye), nil) }

// Exited returns a channel that gets the orphan's exit once it is known. The
// caller also watches Done. A second call for the same process replaces the
// first; Forget ends it.
func (l *Link) Exited(pid int, start uint64) <-chan Exit {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ch := process{pid, start}, make(chan Exit, 1)
	if e, ok := l.fetch(p); ok {
		ch <- e
	} else {
		l.waiters[p] = ch
	}
	return ch
}

// Forget says that nobody will ask about the process.
func (l *Link) Forget(pid int, start uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiters, process{pid, start})
	l.fetch(process{pid, start})
}

// Close ends the link; the guard goes on and notices the engine's end.
func (l *Link) Close() error {
	err := l.file.Close()
	<-l.done
	return err
}

// fetch needs l.mu.
func (l *Link) fetch(p process) (Exit, bool) {
	for i, e := range l.exits {
		if e.PID == p.pid && e.Start == p.start {
			l.exits = append(l.exits[:i], l.exits[i+1:]...)
			l.send(forgetPacket(p), nil) // if the guard is gone there is nothing to forget
			return e, true
		}
	}
	return Exit{}, false
}

func (l *Link) arrived(e Exit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := process{e.PID, e.Start}
	if ch, ok := l.waiters[p]; ok {
		delete(l.waiters, p)
		ch <- e
		l.send(forgetPacket(p), nil)
		return
	}
	if len(l.exits) >= MaxExits {
		l.exits = append(l.exits[:0], l.exits[1:]...)
	}
	l.exits = append(l.exits, e)
}

func (l *Link) send(msg, rights []byte) error {
	if len(msg) > maxPacket {
		return os.NewSyscallError("send to guard", syscall.EMSGSIZE)
	}
	var err error
	if werr := l.raw.Write(func(fd uintptr) bool {
		for {
			err = syscall.Sendmsg(int(fd), msg, rights, nil, syscall.MSG_NOSIGNAL|syscall.MSG_DONTWAIT)
			if err != syscall.EINTR {
				return err != syscall.EAGAIN
			}
		}
	}); werr != nil {
		return werr
	}
	return os.NewSyscallError("send to guard", err)
}

// hear takes the guard's messages until it is gone or, at the start, until it
// says ready.
func (l *Link) hear(untilReady bool) error {
	buf, oob := make([]byte, maxPacket), make([]byte, 64)
	for {
		var n, oobn int
		var err error
		if rerr := l.raw.Read(func(fd uintptr) bool {
			for {
				n, oobn, _, _, err = syscall.Recvmsg(int(fd), buf, oob, syscall.MSG_DONTWAIT|syscall.MSG_CMSG_CLOEXEC)
				if err != syscall.EINTR {
					return err != syscall.EAGAIN
				}
			}
		}); rerr != nil {
			return rerr
		}
		if err != nil {
			return os.NewSyscallError("hear guard", err)
		}
		if n == 0 {
			return os.NewSyscallError("hear guard", syscall.ECONNRESET)
		}
		l.take(buf[:n], oneDescriptor(oob[:oobn]))
		if untilReady && buf[0] == opReady {
			return nil
		}
	}
}

func (l *Link) take(msg []byte, fd int) {
	switch msg[0] {
	case opWelcome:
		l.guardPID, l.generation = int(number(msg, 1)), int(number(msg, 2))
	case opKept:
		if name := string(msg[1:]); fd >= 0 {
			l.restored[name] = os.NewFile(uintptr(fd), name)
			return
		}
	case opSynced:
		l.answered(number(msg, 0))
	case opExit:
		l.arrived(Exit{
			PID:    int(number(msg, 0)),
			Status: syscall.WaitStatus(number(msg, 1)),
			Start:  uint64(number(msg, 2)) | uint64(number(msg, 3))<<32,
		})
	}
	if fd >= 0 {
		syscall.Close(fd)
	}
}
