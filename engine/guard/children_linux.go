package guard

import (
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
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
	ended, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	more, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
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
		err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT|unix.WALL, nil)
		if err == unix.EINTR {
			continue
		}
		if err == nil {
			raise(c.ended)
		}
		for {
			if _, err := unix.Read(c.more, word[:]); err != unix.EINTR {
				break
			}
		}
	}
}

func (c *children) resume() { raise(c.more) }

// none says that the guard has no child at all.
func (c *children) none() bool {
	return unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG|unix.WALL, nil) == unix.ECHILD
}

func raise(eventfd int) {
	unix.Write(eventfd, []byte{1, 1, 1, 1, 1, 1, 1, 1}) // any value wakes, in any byte order
}

// childInfo is the beginning of siginfo_t as waitid(2) fills it.
type childInfo struct {
	_      [3]int32
	fields struct {
		_   [0]uintptr // the kernel aligns the union to a word
		pid int32
	}
}

// reap collects every child that has ended. The start time is read while the
// child is still a zombie; afterwards its pid may belong to somebody else.
func (g *guard) reap() (status int, over bool) {
	var word [8]byte
	unix.Read(g.children.ended, word[:])
	defer g.children.resume()
	for {
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG|unix.WALL, nil); err != nil {
			if err == unix.EINTR {
				continue
			}
			return 0, false
		}
		pid := int((*childInfo)(unsafe.Pointer(&info)).fields.pid)
		if pid == 0 {
			return 0, false
		}
		start := startTime(pid)
		var ws unix.WaitStatus
		if _, err := unix.Wait4(pid, &ws, unix.WNOHANG|unix.WALL, nil); err != nil {
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
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	var buf [1024]byte
	n, err := unix.Read(fd, buf[:])
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
