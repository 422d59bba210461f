package child

import (
	"syscall"
	"unsafe"
)

// System calls and constants that package syscall does not know. Numbers from
// 424 on are the same on every architecture. TestNumbers compares all of them
// with golang.org/x/sys/unix.
const (
	sysOpenTree     = 428
	sysMoveMount    = 429
	sysFsopen       = 430
	sysFsconfig     = 431
	sysFsmount      = 432
	sysClone3       = 435
	sysCloseRange   = 436
	sysOpenat2      = 437
	sysMountSetattr = 442

	atFDCWD      = -100
	atEmptyPath  = 0x1000
	atRecursive  = 0x8000
	atNoFollow   = 0x100
	openTreeCopy = 1 // OPEN_TREE_CLONE
	moveFEmpty   = 0x4
	moveTEmpty   = 0x40
	fsSetFlag    = 0
	fsSetString  = 1
	fsCreate     = 6
	cloexec      = 1 // of fsopen and fsmount

	attrRdonly = 0x1

	resolveNoXdev       = 0x1
	resolveNoMagiclinks = 0x2
	resolveNoSymlinks   = 0x4
	resolveBeneath      = 0x8
	resolveInRoot       = 0x10

	oPath    = 0x200000
	oCloexec = syscall.O_CLOEXEC

	prSetKeepcaps       = 8
	prCapbsetDrop       = 24
	prSetChildSubreaper = 36
	prSetDumpable       = 4
	prSetNoNewPrivs     = 38
	prCapAmbient        = 47
	capAmbientRaise     = 2
	capAmbientClear     = 4

	closeRangeCloexec = 4

	magicProc   = 0x9fa0
	magicDevpts = 0x1cd1

	tiocsctty   = 0x540e
	tiocswinsz  = 0x5414
	tiocgptpeer = 0x5441
	tiocsptlck  = 0x40045431

	keyctlJoinSession = 1
)

// Raw system calls only: the child may run in a fork of a Go process, where no
// other thread of the runtime exists any more, and the scheduler has nothing to
// gain here anyway.

//go:uintptrescapes
func raw(nr uintptr, a ...uintptr) (int, syscall.Errno) {
	var v [6]uintptr
	copy(v[:], a)
	r, _, e := syscall.RawSyscall6(nr, v[0], v[1], v[2], v[3], v[4], v[5])
	return int(r), e
}

func fdArg(fd int) uintptr { return uintptr(fd) }

// cstr returns s with a terminating zero; an embedded zero ends it early, which
// the parent has excluded.
func cstr(s string) *byte {
	b := make([]byte, len(s)+1)
	copy(b, s)
	return &b[0]
}

func cstrs(list []string) **byte {
	v := make([]*byte, len(list)+1)
	for i, s := range list {
		v[i] = cstr(s)
	}
	return &v[0]
}

type openHow struct{ flags, mode, resolve uint64 }

func openat2(dir int, path string, flags int, mode, resolve uint64) (int, syscall.Errno) {
	how := openHow{uint64(flags | oCloexec), mode, resolve}
	for {
		fd, _, e := syscall.RawSyscall6(sysOpenat2, fdArg(dir), uintptr(unsafe.Pointer(cstr(path))),
			uintptr(unsafe.Pointer(&how)), unsafe.Sizeof(how), 0, 0)
		// EAGAIN: something was renamed while ".." was resolved below a scope.
		if e != syscall.EAGAIN && e != syscall.EINTR {
			return int(fd), e
		}
	}
}

func open(path string, flags int) (int, syscall.Errno) {
	return openat(atFDCWD, path, flags, 0)
}

func openat(dir int, path string, flags int, mode uint32) (int, syscall.Errno) {
	for {
		fd, _, e := syscall.RawSyscall6(syscall.SYS_OPENAT, fdArg(dir), uintptr(unsafe.Pointer(cstr(path))),
			uintptr(flags|oCloexec), uintptr(mode), 0, 0)
		if e != syscall.EINTR {
			return int(fd), e
		}
	}
}

func closeFD(fd int) { syscall.RawSyscall(syscall.SYS_CLOSE, fdArg(fd), 0, 0) }

func mkdirat(dir int, name string, mode uint32) syscall.Errno {
	_, _, e := syscall.RawSyscall(syscall.SYS_MKDIRAT, fdArg(dir), uintptr(unsafe.Pointer(cstr(name))), uintptr(mode))
	return e
}

func symlinkat(content string, dir int, name string) syscall.Errno {
	_, _, e := syscall.RawSyscall(syscall.SYS_SYMLINKAT, uintptr(unsafe.Pointer(cstr(content))), fdArg(dir),
		uintptr(unsafe.Pointer(cstr(name))))
	return e
}

func mknodat(dir int, name string, mode uint32, dev uint64) syscall.Errno {
	_, _, e := syscall.RawSyscall6(syscall.SYS_MKNODAT, fdArg(dir), uintptr(unsafe.Pointer(cstr(name))), uintptr(mode), uintptr(dev), 0, 0)
	return e
}

func fchown(fd, uid, gid int) syscall.Errno {
	_, e := raw(syscall.SYS_FCHOWN, fdArg(fd), fdArg(uid), fdArg(gid))
	return e
}

func fchmod(fd int, mode uint32) syscall.Errno {
	_, e := raw(syscall.SYS_FCHMOD, fdArg(fd), uintptr(mode))
	return e
}

func readlinkat(dir int, name string) (string, syscall.Errno) {
	buf := make([]byte, 4096)
	n, _, e := syscall.RawSyscall6(syscall.SYS_READLINKAT, fdArg(dir), uintptr(unsafe.Pointer(cstr(name))),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
	if e != 0 {
		return "", e
	}
	return string(buf[:n]), 0
}

func fstat(fd int, st *syscall.Stat_t) syscall.Errno {
	_, _, e := syscall.RawSyscall(syscall.SYS_FSTAT, fdArg(fd), uintptr(unsafe.Pointer(st)), 0)
	return e
}

// fsMagic returns the type of the filesystem that fd is on.
func fsMagic(fd int) int64 {
	var st syscall.Statfs_t
	if _, _, e := syscall.RawSyscall(syscall.SYS_FSTATFS, fdArg(fd), uintptr(unsafe.Pointer(&st)), 0); e != 0 {
		return -1
	}
	return int64(st.Type)
}

func ioctl(fd int, req, arg uintptr) (int, syscall.Errno) {
	return raw(syscall.SYS_IOCTL, fdArg(fd), req, arg)
}

// read may block for long, so it goes through the scheduler: sysmon would
// otherwise wake every 10 ms to look at a processor that never yields.
func read(fd int, b []byte) (int, syscall.Errno) {
	for {
		n, _, e := syscall.Syscall(syscall.SYS_READ, fdArg(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		if e != syscall.EINTR {
			return int(n), e
		}
	}
}

func write(fd int, b []byte) syscall.Errno {
	for len(b) > 0 {
		n, _, e := syscall.RawSyscall(syscall.SYS_WRITE, fdArg(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		if e == syscall.EINTR {
			continue
		}
		if e != 0 {
			return e
		}
		b = b[n:]
	}
	return 0
}

func exit(code int) {
	for {
		raw(syscall.SYS_EXIT_GROUP, uintptr(code))
	}
}

// itoa is strconv.Itoa without its package.
func itoa(n int) string {
	if n < 0 {
		return "-" + itoa(-n)
	}
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}
