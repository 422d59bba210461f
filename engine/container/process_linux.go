package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// process is one process that is waited for by its pidfd.
type process struct {
	pid   int
	start uint64
	pidfd *os.File
	ours  bool // our child, so that waitid works

	done chan struct{} // closed when exit and err are set
	exit Exit
	err  error

	closing sync.Once
}

// newProcess takes pidfd over and waits for the process in the background:
// one goroutine, no thread.
func newProcess(pid, pidfd int, ours bool) (*process, error) {
	if err := unix.SetNonblock(pidfd, true); err != nil {
		unix.Close(pidfd)
		return nil, fmt.Errorf("watch process %d: %w", pid, err)
	}
	p := &process{pid: pid, pidfd: os.NewFile(uintptr(pidfd), "pidfd"), ours: ours, done: make(chan struct{})}
	var err error
	if p.start, err = startTime(pid); err != nil && !ours {
		p.pidfd.Close()
		return nil, err
	}
	return p, nil
}

// watch collects the exit; the caller runs it once, as a goroutine.
func (p *process) watch(then func()) {
	p.exit, p.err = p.collect()
	if then != nil {
		then()
	}
	close(p.done)
}

func (p *process) collect() (Exit, error) {
	conn, err := p.pidfd.SyscallConn()
	if err != nil {
		return Exit{}, err
	}
	var exit Exit
	var result error
	err = conn.Read(func(fd uintptr) bool {
		var done bool
		if p.ours {
			exit, done, result = waitChild(int(fd))
		} else {
			exit, done, result = p.waitStranger(int(fd))
		}
		return done
	})
	return exit, errors.Join(err, result)
}

// siginfo is the head of siginfo_t for SIGCHLD on 64-bit Linux.
type siginfo struct {
	signo, errno, code int32
	_                  int32
	pid                int32
	uid                uint32
	status             int32
	_                  [128 - 28]byte
}

func waitChild(pidfd int) (Exit, bool, error) {
	var info siginfo
	err := unix.Waitid(unix.P_PIDFD, pidfd, (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOHANG, nil)
	switch {
	case errors.Is(err, unix.EAGAIN) || (err == nil && info.pid == 0):
		return Exit{}, false, nil
	case err != nil:
		return Exit{}, true, fmt.Errorf("wait for process: %w", err)
	}
	const exited = 1 // CLD_EXITED
	if info.code == exited {
		return Exit{Code: int(info.status)}, true, nil
	}
	return Exit{Code: 128 + int(info.status), Signal: int(info.status)}, true, nil
}

// waitStranger waits for a process whose parent is somebody else. The kernel
// (6.15) tells its exit status once the parent has reaped it; a zombie, whose
// parent may never do so, has it in its stat file.
func (p *process) waitStranger(pidfd int) (Exit, bool, error) {
	ready := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	if n, err := unix.Poll(ready, 0); n == 0 || err != nil {
		return Exit{}, false, nil
	}
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	err := unix.IoctlPidfdInfo(pidfd, &info)
	switch {
	case errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL):
		return Exit{}, true, ErrUnknownExit
	case err == nil && info.Mask&unix.PIDFD_INFO_EXIT != 0:
		return statusExit(unix.WaitStatus(info.Exit_code)), true, nil
	case ready[0].Revents&unix.POLLHUP != 0:
		return Exit{}, true, ErrUnknownExit
	}
	if s, ok := zombieStatus(p.pid, p.start); ok {
		return statusExit(s), true, nil
	}
	return Exit{}, false, nil // reaped this moment: the kernel wakes us again
}

// zombieStatus is field 52 of /proc/PID/stat, the wait status of a process
// that has ended and was not reaped.
func zombieStatus(pid int, start uint64) (unix.WaitStatus, bool) {
	fields, err := statFields(pid)
	if err != nil || len(fields) <= 52-firstStatField || string(fields[0]) != "Z" {
		return 0, false
	}
	if got, err := strconv.ParseUint(string(fields[22-firstStatField]), 10, 64); err != nil || got != start {
		return 0, false
	}
	status, err := strconv.ParseUint(string(fields[52-firstStatField]), 10, 32)
	return unix.WaitStatus(status), err == nil
}

func statusExit(s unix.WaitStatus) Exit {
	if s.Signaled() {
		return Exit{Code: 128 + int(s.Signal()), Signal: int(s.Signal())}
	}
	return Exit{Code: s.ExitStatus()}
}

// wait returns when the process has ended.
func (p *process) wait(ctx context.Context) (Exit, error) {
	select {
	case <-p.done:
		return p.exit, p.err
	default:
	}
	select {
	case <-p.done:
		return p.exit, p.err
	case <-ctx.Done():
		return Exit{}, context.Cause(ctx)
	}
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) signal(sig unix.Signal) error {
	conn, err := p.pidfd.SyscallConn()
	if err != nil {
		return ErrNotRunning
	}
	var result error
	err = conn.Control(func(fd uintptr) { result = unix.PidfdSendSignal(int(fd), sig, nil, 0) })
	if err != nil || errors.Is(result, unix.ESRCH) {
		return ErrNotRunning
	}
	return result
}

func (p *process) close() {
	p.closing.Do(func() { p.pidfd.Close() })
}

// startTime is field 22 of /proc/PID/stat: with the pid it names a process for
// as long as the machine is up.
func startTime(pid int) (uint64, error) {
	fields, err := statFields(pid)
	if err != nil {
		return 0, fmt.Errorf("read start time of %d: %w", pid, err)
	}
	return strconv.ParseUint(string(fields[22-firstStatField]), 10, 64)
}

// firstStatField is the number, in proc_pid_stat(5), of the first of statFields.
const firstStatField = 3

// statFields are the fields of /proc/PID/stat behind the command, which stands
// in parentheses and may contain anything.
func statFields(pid int) ([][]byte, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil, err
	}
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) <= 22-firstStatField {
		return nil, errors.New("malformed stat")
	}
	return fields, nil
}
