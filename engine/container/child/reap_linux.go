package child

import (
	"syscall"
	"unsafe"
)

// A container with init: true has our reaper as pid 1.
//
//	pid 1: setup ... fork -------------------> confine, execve(service)
//	          |
//	          confine, execve(this binary)  -> forward signals, reap, exit as
//	                                           the service did
//
// Pid 1 executes the binary once more because the threads that Go's runtime has
// already started would keep the old privileges: capabilities and filters
// belong to threads. The binary comes from the protected descriptor FDExe.

const reapEnv = "_DEVSTACK_SERVICE"

func underReaper(p *Program, t target) *Fault {
	setMask(^uint64(0)) // stays so in pid 1: it takes its signals with sigtimedwait
	pid, e := raw(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0)
	if e != 0 {
		return fault("clone", "", e)
	}
	if pid == 0 {
		if _, e := raw(syscall.SYS_SETSID); e == 0 && p.Process.Terminal {
			ioctl(0, tiocsctty, 1)
		}
		if f := confine(&p.Process); f != nil {
			return f
		}
		return execute(t)
	}
	if f := confine(&p.Process); f != nil {
		return f
	}
	return executeReaper(pid)
}

func executeReaper(service int) *Fault {
	// A descriptor with close-on-exec can be executed; none is left open.
	if _, e := raw(sysCloseRange, FDSocket, 0xffffffff, closeRangeCloexec); e != 0 {
		return fault("close descriptors", "", e)
	}
	empty := cstr("")
	argv := cstrs([]string{"devstack", "init"})
	envp := cstrs([]string{Door + "=" + DoorReap, reapEnv + "=" + itoa(service), "GOGC=off", "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1"})
	_, _, e := syscall.RawSyscall6(sysExecveat, FDExe, uintptr(unsafe.Pointer(empty)), uintptr(unsafe.Pointer(argv)),
		uintptr(unsafe.Pointer(envp)), atEmptyPath, 0)
	return fault("start init", "devstack", e)
}

// reap is pid 1 for the rest of the container's life.
func reap() {
	raw(syscall.SYS_PRCTL, prSetDumpable, 0, 0, 0, 0)
	value, _ := syscall.Getenv(reapEnv)
	service := 0
	for i := range len(value) {
		service = service*10 + int(value[i]-'0')
	}
	for {
		if code, done := collect(service); done {
			exit(code)
		}
		all := ^uint64(0)
		// Through the scheduler, which may sleep meanwhile.
		sig, _, e := syscall.Syscall6(syscall.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&all)), 0, 0, 8, 0, 0)
		if e != 0 || syscall.Signal(sig) == syscall.SIGCHLD || syscall.Signal(sig) == syscall.SIGURG {
			continue
		}
		raw(syscall.SYS_KILL, uintptr(service), sig)
	}
}

// collect reaps everybody who is dead; done when the service is among them.
func collect(service int) (code int, done bool) {
	for {
		var status syscall.WaitStatus
		const noHang = 1
		pid, _, e := syscall.RawSyscall6(syscall.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&status)), noHang, 0, 0, 0)
		if e == syscall.ECHILD {
			return 0, true
		}
		if e != 0 || pid == 0 {
			return 0, false
		}
		if int(pid) == service {
			if status.Signaled() {
				return 128 + int(status.Signal()), true
			}
			return status.ExitStatus(), true
		}
	}
}
