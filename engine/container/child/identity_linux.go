package child

import (
	"syscall"
	"unsafe"
)

// session makes the process a session leader with its own keyring, and gives it
// the terminal.
func session(p *Program) *Fault {
	if _, e := raw(syscall.SYS_SETSID); e != 0 && e != syscall.EPERM {
		return fault("setsid", "", e)
	}
	if p.Process.Terminal {
		if _, e := ioctl(0, tiocsctty, 0); e != 0 {
			return fault("set controlling terminal", "", e)
		}
	}
	if p.Process.Keyring {
		// Without it the host's session keyring would be reachable. Kernels
		// without keys, and quotas, are no reason to refuse.
		syscall.RawSyscall(syscall.SYS_KEYCTL, keyctlJoinSession, uintptr(unsafe.Pointer(cstr("_ses."+p.Name))), 0)
	}
	return nil
}

func limits(p *Process) *Fault {
	for _, r := range p.Rlimits {
		pair := [2]uint64{r.Soft, r.Hard}
		if _, _, e := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, 0, uintptr(r.Resource), uintptr(unsafe.Pointer(&pair)), 0, 0, 0); e != 0 {
			return fault("set ulimit", rlimitName(r.Resource), e)
		}
	}
	return nil
}

// become takes on user, groups and bounding set. Effective capabilities are
// still ours afterwards: they go in confine, as late as possible.
func become(p *Process) *Fault {
	if p.ChownStdio {
		chownStdio(p)
	}
	raw(syscall.SYS_UMASK, uintptr(p.Umask))
	for c := 0; c <= p.LastCap; c++ {
		if p.Bounding&(1<<c) == 0 {
			if _, e := raw(syscall.SYS_PRCTL, prCapbsetDrop, uintptr(c), 0, 0, 0); e != 0 {
				return fault("drop capability from bounding set", itoa(c), e)
			}
		}
	}
	if _, e := raw(syscall.SYS_PRCTL, prSetKeepcaps, 1, 0, 0, 0); e != 0 {
		return fault("keep capabilities", "", e)
	}
	groups := make([]uint32, len(p.Groups)+1)
	for i, g := range p.Groups {
		groups[i] = uint32(g)
	}
	if _, _, e := syscall.RawSyscall(syscall.SYS_SETGROUPS, uintptr(len(p.Groups)), uintptr(unsafe.Pointer(&groups[0])), 0); e != 0 {
		return fault("set groups", "", e)
	}
	if _, e := raw(syscall.SYS_SETRESGID, uintptr(p.GID), uintptr(p.GID), uintptr(p.GID)); e != 0 {
		return fault("set group", itoa(p.GID), e)
	}
	if _, e := raw(syscall.SYS_SETRESUID, uintptr(p.UID), uintptr(p.UID), uintptr(p.UID)); e != 0 {
		return fault("set user", itoa(p.UID), e)
	}
	return nil
}

// chownStdio lets a user reopen /dev/stdout, which is a link to a FIFO of ours.
func chownStdio(p *Process) {
	for fd := range 3 {
		var st syscall.Stat_t
		if fstat(fd, &st) != 0 || int(st.Uid) == p.UID {
			continue
		}
		if kind := st.Mode & syscall.S_IFMT; kind == syscall.S_IFIFO || kind == syscall.S_IFSOCK {
			fchown(fd, p.UID, -1)
		}
	}
}

// confine is the end of privilege: no_new_privs, the filter, the capabilities.
// A filter without no_new_privs needs CAP_SYS_ADMIN to load, so it comes before
// the capabilities then, and after them otherwise.
func confine(p *Process) *Fault {
	if p.NoNewPrivs {
		if _, e := raw(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0); e != 0 {
			return fault("set no_new_privs", "", e)
		}
	} else {
		raise(p)
		if f := filter(p); f != nil {
			return f
		}
	}
	if f := setCaps(p); f != nil {
		return f
	}
	if p.NoNewPrivs {
		return filter(p)
	}
	return nil
}

type capHeader struct {
	version uint32
	pid     int32
}

type capData struct{ effective, permitted, inheritable uint32 }

func capset(effective, permitted, inheritable uint64) syscall.Errno {
	const version3 = 0x20080522
	head := capHeader{version: version3}
	var data [2]capData
	for i := range data {
		shift := 32 * i
		data[i] = capData{uint32(effective >> shift), uint32(permitted >> shift), uint32(inheritable >> shift)}
	}
	_, _, e := syscall.RawSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&data)), 0)
	return e
}

// raise makes everything that setuid left permitted effective again.
func raise(p *Process) {
	const sysAdmin = 1 << 21
	if p.UID != 0 && len(p.Seccomp) > 0 {
		capset(sysAdmin|p.Effective, sysAdmin|p.Permitted, p.Inheritable)
	}
}

func setCaps(p *Process) *Fault {
	// An inheritable capability outside the bounding set needs CAP_SETPCAP in
	// the old set, which is why both are set in one call.
	if e := capset(p.Effective, p.Permitted, p.Inheritable); e != 0 {
		return fault("set capabilities", "", e)
	}
	raw(syscall.SYS_PRCTL, prCapAmbient, capAmbientClear, 0, 0, 0)
	for c := 0; c <= p.LastCap; c++ {
		if p.Ambient&(1<<c) != 0 {
			if _, e := raw(syscall.SYS_PRCTL, prCapAmbient, capAmbientRaise, uintptr(c), 0, 0); e != 0 {
				return fault("set ambient capability", itoa(c), e)
			}
		}
	}
	return nil
}

type sockFprog struct {
	length uint16
	filter *byte
}

func filter(p *Process) *Fault {
	if len(p.Seccomp) == 0 {
		return nil
	}
	prog := sockFprog{length: uint16(len(p.Seccomp) / 8), filter: &p.Seccomp[0]}
	const setModeFilter = 1
	if _, _, e := syscall.RawSyscall(sysSeccomp, setModeFilter, uintptr(p.SeccompFlag), uintptr(unsafe.Pointer(&prog))); e != 0 {
		return fault("load seccomp filter", "", e)
	}
	return nil
}

// rlimitName is what a project file calls a resource limit.
func rlimitName(resource int) string {
	switch resource {
	case 0:
		return "cpu"
	case 1:
		return "fsize"
	case 2:
		return "data"
	case 3:
		return "stack"
	case 4:
		return "core"
	case 5:
		return "rss"
	case 6:
		return "nproc"
	case 7:
		return "nofile"
	case 8:
		return "memlock"
	case 9:
		return "as"
	case 10:
		return "locks"
	case 11:
		return "sigpending"
	case 12:
		return "msgqueue"
	case 13:
		return "nice"
	case 14:
		return "rtprio"
	case 15:
		return "rttime"
	}
	return itoa(resource)
}
