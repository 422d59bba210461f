package guard

import (
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxLog is the size at which engine.log becomes engine.log.1.
const maxLog = 1 << 20

// rotateLog starts a new engine.log if the present one is large. It runs
// between two engines, so that all of them and the guard write to one file;
// a long-lived engine does it through Log.
func (g *guard) rotateLog() {
	rotateLog(g.path("engine.log"))
}

func rotateLog(path string) {
	var st unix.Stat_t
	if unix.Fstat(2, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size < maxLog {
		return
	}
	if unix.Rename(path, path+".1") != nil {
		return
	}
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return
	}
	unix.Dup3(fd, 1, 0)
	unix.Dup3(fd, 2, 0)
	unix.Close(fd)
}

func (g *guard) say(text string) {
	line := time.Now().UTC().Format("2006-01-02T15:04:05.000Z") + " guard: " + text + "\n"
	unix.Write(2, []byte(line))
}

func describe(ws unix.WaitStatus) string {
	if ws.Signaled() {
		return "signal " + strconv.Itoa(int(ws.Signal()))
	}
	return "exit status " + strconv.Itoa(ws.ExitStatus())
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
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGHUP), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
}
