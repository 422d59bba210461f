package guard

import (
	"syscall"
	"unsafe"
)

// What package syscall has no function for. Package golang.org/x/sys/unix has,
// but it would close the early door: see the package's documentation.

const (
	wNoWait    = 0x01000000 // WNOWAIT: leave the child for another wait
	wAll       = 0x40000000 // __WALL
	oPath      = 0x200000   // O_PATH
	pollIn     = 0x1
	pollOut    = 0x4
	pollErr    = 0x8
	pollHup    = 0x10
	subreaper  = 36 // PR_SET_CHILD_SUBREAPER
	dontNeed   = 4  // MADV_DONTNEED
	tooManyFDs = syscall.ETOOMANYREFS
)

type pollFD struct {
	fd      int32
	events  int16
	revents int16
}

// poll waits up to timeout milliseconds, for ever if it is negative.
func poll(fds []pollFD, timeout int) (int, error) {
	var limit *syscall.Timespec
	if timeout >= 0 {
		ts := syscall.NsecToTimespec(int64(timeout) * 1e6)
		limit = &ts
	}
	n, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), uintptr(len(fds)),
		uintptr(unsafe.Pointer(limit)), 0, 0, 0)
	return int(n), failure(errno)
}

// childInfo is siginfo_t as waitid(2) fills it.
type childInfo struct {
	_      [3]int32
	fields struct {
		_   [0]uintptr // the kernel aligns the union to a word
		pid int32
	}
	_ [128]byte
}

// waitAny waits until any child has ended, and leaves it to be reaped.
func waitAny(info *childInfo, options int) error {
	_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, 0 /* P_ALL */, 0, uintptr(unsafe.Pointer(info)),
		uintptr(syscall.WEXITED|wNoWait|wAll|options), 0, 0)
	return failure(errno)
}

func eventfd(flags int) (int, error) {
	fd, _, errno := syscall.Syscall(syscall.SYS_EVENTFD2, 0, uintptr(flags), 0)
	return int(fd), failure(errno)
}

func becomeSubreaper() error {
	_, _, errno := syscall.Syscall6(syscall.SYS_PRCTL, subreaper, 1, 0, 0, 0, 0)
	return failure(errno)
}

// The kernel's SIG_DFL and SIG_IGN.
const (
	hangupDefault = 0
	hangupIgnored = 1
)

// setHangup sets what SIGHUP does. Package os/signal would bring a goroutine,
// a thread and packages along. The engine inherits an ignored signal and, by
// execve, so would containers: Connect sets the default again.
func setHangup(disposition uintptr) {
	var action struct {
		handler uintptr
		rest    [8]uint64 // flags, restorer, mask: all zero
	}
	action.handler = disposition
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(syscall.SIGHUP), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
}

func failure(errno syscall.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}
