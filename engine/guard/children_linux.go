package guard

import (
	"os"
	"syscall"
)

// children watches for the end of any child. waitid(2) and poll(2) cannot be
// slept in at once, so one thread does nothing but wait, without reaping, and
// raises `ended`; then it holds still until `more` says that the guard has
// reaped, or has a child again.
type children struct {
	ended int // eventfd: something to reap
	more  int // eventfd: go on waiting
}

func watchChildren() (*children, error) {
	ended, err := eventfd(syscall.O_CLOEXEC | syscall.O_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	more, err := eventfd(syscall.O_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	c := &children{ended, more}
	go c.watch() // ends with the process
	return c, nil
}

func (c *children) watch() {
	var word [8]byte
	for {
		err := waitAny(nil, 0)
		if err == syscall.EINTR {
			continue
		}
		if err == nil {
			raise(c.ended)
		}
		for {
			if _, err := syscall.Read(c.more, word[:]); err != syscall.EINTR {
				break
			}
		}
	}
}

func (c *children) resume() { raise(c.more) }

// none says that the guard has no child at all.
func (c *children) none() bool {
	return waitAny(nil, syscall.WNOHANG) == syscall.ECHILD
}

func raise(eventfd int) {
	syscall.Write(eventfd, []byte{1, 1, 1, 1, 1, 1, 1, 1}) // any value wakes, in any byte order
}

// reap collects every child that has ended. The start time is read while the
// child is still a zombie; afterwards its pid may belong to somebody else.
func (g *guard) reap() (status int, over bool) {
	var word [8]byte
	syscall.Read(g.children.ended, word[:])
	defer g.children.resume()
	for {
		var info childInfo
		if err := waitAny(&info, syscall.WNOHANG); err != nil {
			if err == syscall.EINTR {
				continue
			}
			return 0, false
		}
		pid := int(info.fields.pid)
		if pid == 0 {
			return 0, false
		}
		start := startTime(pid)
		var ws syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &ws, syscall.WNOHANG|wAll, nil); err != nil {
			continue
		}
		if pid == g.engine {
			if status, over = g.ended(ws); over {
				return status, true
			}
			continue
		}
		g.holdExit(process{pid, start}, ws)
	}
}

// startTime is field 22 of /proc/PID/stat, 0 when it cannot be read.
func startTime(pid int) uint64 {
	fd, err := syscall.Open("/proc/"+itoa(pid)+"/stat", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer syscall.Close(fd)
	var buf [1024]byte
	n, err := syscall.Read(fd, buf[:])
	if err != nil {
		return 0
	}
	return parseStartTime(buf[:n])
}

// parseStartTime skips the command, which may hold anything, by its last ')'.
func parseStartTime(stat []byte) uint64 {
	at := len(stat)
	for at > 0 && stat[at-1] != ')' {
		at--
	}
	field, value := 2, uint64(0)
	for _, c := range stat[at:] {
		switch {
		case c == ' ':
			field++
		case field == 22 && c >= '0' && c <= '9':
			value = value*10 + uint64(c-'0')
		}
		if field > 22 {
			break
		}
	}
	return value
}
