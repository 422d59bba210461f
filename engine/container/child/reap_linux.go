package child

import (
	"syscall"
	"unsafe"
)

// A container with init: true has our reaper as pid 1.
//
//	nursery: clone(pid) -> pid 1: setup ... fork -> confine, execve
//	                              confine, close all,      (the service)
//	                              forward signals, reap,
//	                              exit as the service did
//
// Pid 1 has one thread only, as all that comes from the nursery: no thread of
// the runtime keeps our privileges (capabilities and filters belong to threads)
// or takes a signal away, and all are blocked. It makes raw system
// calls only and never executes anything, so it costs no second start.

// underReaper starts the service and becomes the reaper. It returns only in the
// service, with what went wrong.
func underReaper(p *Program, t target) *Fault {
	setMask(^uint64(0)) // execute clears it in the service
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
	// Where it is not pid 1 orphans come to it all the same.
	raw(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0, 0, 0)
	if f := chdir("/"); f != nil {
		return f
	}
	if f := confine(&p.Process); f != nil {
		return f
	}
	raw(sysCloseRange, FDSocket, 0xffffffff, 0)
	reap(pid)
	return nil
}

// reap is pid 1 for the rest of the container's life.
func reap(service int) {
	all := ^uint64(0)
	for {
		if code, done := collect(service); done {
			exit(code)
		}
		sig, _, e := syscall.RawSyscall6(syscall.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&all)), 0, 0, 8, 0, 0)
		if e != 0 || syscall.Signal(sig) == syscall.SIGCHLD {
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
