package child

import (
	"syscall"
	"unsafe"
)

func init() {
	if mode, _ := syscall.Getenv(Door); mode == DoorRun {
		if nursery() {
			run()
		}
		exit(ExitUntold)
	}
}

// run is the whole life of the child; it ends in execve or exit.
func run() {
	var p Program
	if !receive(&p) {
		exit(ExitUntold)
	}
	if f := perform(&p); f != nil {
		send(MsgFault, f.fields, -1)
		exit(f.exitCode())
	}
}

func perform(p *Program) *Fault {
	if f := namespaces(p); f != nil {
		return f
	}
	if p.RootFD >= 0 {
		if f := hostnames(p); f != nil {
			return f
		}
		s := setup{p: p}
		if f := s.root(); f != nil {
			return f
		}
		if f := oomScore(&s); f != nil {
			return f
		}
	} else if f := entered(p); f != nil {
		return f
	}
	return process(p)
}

// process takes on the identity, waits for the order, and executes.
func process(p *Program) *Fault {
	if f := session(p); f != nil {
		return f
	}
	if f := limits(&p.Process); f != nil {
		return f
	}
	denied := chdir(p.Process.Cwd)
	if denied != nil && denied.Errno != syscall.EACCES {
		return denied
	}
	t, f := find(&p.Process)
	if f != nil {
		return f
	}
	if f := become(&p.Process); f != nil {
		return f
	}
	if denied != nil { // root may be squashed where the user is not
		if f := chdir(p.Process.Cwd); f != nil {
			return f
		}
	}
	if f := insideRoot(p.Process.Cwd); f != nil {
		return f
	}
	if f := send(MsgReady, nil, -1); f != nil {
		return f
	}
	order := make([]byte, 1)
	if n, e := read(FDSocket, order); n != 1 || e != 0 || order[0] != MsgStart {
		exit(ExitUntold)
	}
	if p.Init {
		return underReaper(p, t)
	}
	if f := confine(&p.Process); f != nil {
		return f
	}
	return execute(t)
}

// insideRoot refuses a working directory outside of the root, reached through
// an inherited descriptor (CVE-2024-21626).
func insideRoot(cwd string) *Fault {
	buf := make([]byte, 4096)
	n, _, e := syscall.RawSyscall(syscall.SYS_GETCWD, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0)
	if e != 0 {
		return fault("getcwd", cwd, e)
	}
	if n == 0 || buf[0] != '/' {
		f := fault("chdir", cwd, syscall.EPERM)
		f.Text = "the working directory is outside of the root"
		return f
	}
	return nil
}

// namespaces joins, makes and, if a pid namespace was joined, forks into it.
func namespaces(p *Program) *Fault {
	if p.Target >= 0 {
		// A thread that shares its root with others cannot change it.
		if _, e := raw(syscall.SYS_UNSHARE, syscall.CLONE_FS); e != 0 {
			return fault("unshare", "fs", e)
		}
		if _, e := raw(sysSetns, fdArg(p.Target), uintptr(p.TargetNS)); e != 0 {
			f := fault("enter namespaces", "", e)
			if e == syscall.ESRCH {
				f.Text = "the container is not running"
			}
			return f
		}
	}
	fds := make([]int, len(p.Joins))
	for i, j := range p.Joins {
		fd, e := open(j.Path, syscall.O_RDONLY)
		if e != 0 {
			return fault("open namespace", j.Path, e)
		}
		fds[i] = fd
	}
	for i, j := range p.Joins {
		if _, e := raw(sysSetns, fdArg(fds[i]), uintptr(j.Flag)); e != 0 {
			return fault("join namespace", j.Path, e)
		}
		closeFD(fds[i])
	}
	if p.Unshare != 0 {
		if _, e := raw(syscall.SYS_UNSHARE, uintptr(p.Unshare)); e != 0 {
			return fault("unshare", "namespaces", e)
		}
	}
	if p.Fork {
		return rebirth()
	}
	return nil
}

// rebirth forks, because a pid namespace that is joined holds for children only,
// and because the nursery must be a process of one thread. The engine stays the
// parent (CLONE_PARENT), learns the pid from us and reaps the first half. The second half waits until the pid is on the socket:
// its own messages must come after, or nobody would know whom to reap, and a
// process that nobody reaps keeps its pid namespace from ending.
//
// Signals are blocked: the second half has Go's handlers but none of its other
// threads. execute unblocks them.
func rebirth() *Fault {
	setMask(^uint64(0))
	// Should somebody kill both halves before the engine knows the pid, it reaps
	// the second as a member of this group.
	if _, e := raw(syscall.SYS_SETPGID, 0, 0); e != 0 {
		return fault("setpgid", "", e)
	}
	var known [2]int32
	if _, _, e := syscall.RawSyscall(syscall.SYS_PIPE2, uintptr(unsafe.Pointer(&known)), oCloexec, 0); e != 0 {
		return fault("pipe", "", e)
	}
	procPin() // for ever in the second half, which has no scheduler
	pid, e := raw(syscall.SYS_CLONE, syscall.CLONE_PARENT|uintptr(syscall.SIGCHLD), 0, 0, 0, 0)
	if e != 0 {
		procUnpin()
		return fault("clone", "", e)
	}
	if pid == 0 {
		closeFD(int(known[1]))
		word := make([]byte, 1)
		if n, e := read(int(known[0]), word); n != 1 || e != 0 {
			exit(ExitUntold)
		}
		closeFD(int(known[0]))
		return nil
	}
	if send(MsgPID, func(c *codec) { c.int(&pid) }, -1) != nil {
		exit(ExitUntold)
	}
	write(int(known[1]), []byte{1})
	exit(0)
	return nil
}

// entered opens the terminal of a process that joined a container.
func entered(p *Program) *Fault {
	if p.Process.Terminal {
		root, e := open("/", oPath)
		if e != 0 {
			return fault("open", "/", e)
		}
		slave, f := openTerminal(root, &p.Process)
		closeFD(root)
		closeFD(slave)
		if f != nil {
			return f
		}
	}
	return oomScore(&setup{p: p, proc: -1})
}

func oomScore(s *setup) *Fault {
	if !s.p.Process.SetOOM {
		return nil
	}
	proc, f := s.procfs()
	if f != nil {
		return f
	}
	pid, _ := raw(syscall.SYS_GETPID)
	return writeProc(proc, itoa(pid)+"/oom_score_adj", itoa(s.p.Process.OOMScoreAdj))
}

func hostnames(p *Program) *Fault {
	set := func(nr uintptr, name string) syscall.Errno {
		_, _, e := syscall.RawSyscall(nr, uintptr(unsafe.Pointer(cstr(name))), uintptr(len(name)), 0)
		return e
	}
	if p.SetHostname {
		if e := set(syscall.SYS_SETHOSTNAME, p.Hostname); e != 0 {
			return fault("set hostname", p.Hostname, e)
		}
	}
	if p.SetDomainname {
		if e := set(syscall.SYS_SETDOMAINNAME, p.Domainname); e != 0 {
			return fault("set domain name", p.Domainname, e)
		}
	}
	return nil
}
