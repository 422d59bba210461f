package child

import (
	"syscall"
	"unsafe"
)

// A target is what will be executed, ready for the kernel.
type target struct {
	name string
	path *byte
	argv **byte
	envp **byte
}

// find resolves the command as a shell does, inside the new root.
func find(p *Process) (target, *Fault) {
	name := p.Args[0]
	t := target{name: name, argv: cstrs(p.Args), envp: cstrs(p.Env)}
	if hasSlash(name) {
		t.path = cstr(name)
		return t, executable(name)
	}
	var denied *Fault
	for _, dir := range pathList(p.Env) {
		candidate := dir + "/" + name
		switch f := executable(candidate); {
		case f == nil:
			t.path = cstr(candidate)
			return t, nil
		case f.Errno == syscall.EACCES && denied == nil:
			denied = f
		}
	}
	if denied != nil {
		return t, denied
	}
	f := fault("exec", name, syscall.ENOENT)
	f.Text = "executable file not found in $PATH"
	return t, f
}

func hasSlash(s string) bool {
	for i := range len(s) {
		if s[i] == '/' {
			return true
		}
	}
	return false
}

// pathList returns the directories of PATH in env; the last PATH counts.
func pathList(env []string) []string {
	const fallback = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	path := fallback
	for _, v := range env {
		if hasPrefix(v, "PATH=") {
			path = v
		}
	}
	path = path[len("PATH="):]
	var dirs []string
	start := 0
	for i := 0; i <= len(path); i++ {
		if i < len(path) && path[i] != ':' {
			continue
		}
		dir := path[start:i]
		if dir == "" {
			dir = "."
		}
		dirs = append(dirs, dir)
		start = i + 1
	}
	return dirs
}

// executable reports why path cannot be executed, as far as that can be seen:
// nobody's x bit, or not a file.
func executable(path string) *Fault {
	var st syscall.Stat_t
	if _, _, e := syscall.RawSyscall6(sysFstatat, uintptr(0)+fdArg(atFDCWD), uintptr(unsafe.Pointer(cstr(path))),
		uintptr(unsafe.Pointer(&st)), 0, 0, 0); e != 0 {
		return fault("exec", path, e)
	}
	if st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
		f := fault("exec", path, syscall.EACCES)
		f.Text = "is a directory"
		return f
	}
	if st.Mode&0o111 == 0 {
		return fault("exec", path, syscall.EACCES)
	}
	return nil
}

// execute does not return unless execve failed. Signals are as a new process
// expects them, whatever the engine ignores, and no descriptor survives.
func execute(t target) *Fault {
	defaultSignals()
	if _, e := raw(sysCloseRange, FDSocket, 0xffffffff, closeRangeCloexec); e != 0 {
		return fault("close descriptors", "", e)
	}
	_, _, e := syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(t.path)),
		uintptr(unsafe.Pointer(t.argv)), uintptr(unsafe.Pointer(t.envp)))
	f := fault("exec", t.name, e)
	switch e {
	case syscall.ENOEXEC:
		f.Text = "exec format error: not a program for this machine, or a script without #!"
	case syscall.ENOENT:
		f.Text = "no such file: it is there, so its interpreter (#! line or dynamic loader) is missing"
	}
	return f
}

func defaultSignals() {
	type sigaction struct {
		handler  uintptr
		flags    uint64
		restorer uintptr
		mask     uint64
	}
	const ignore = 1
	for sig := uintptr(1); sig <= 64; sig++ {
		var old, dfl sigaction
		syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, sig, 0, uintptr(unsafe.Pointer(&old)), 8, 0, 0)
		if old.handler == ignore {
			syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&dfl)), 0, 8, 0, 0)
		}
	}
	setMask(0)
}

func setMask(mask uint64) {
	const setmask = 2
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setmask, uintptr(unsafe.Pointer(&mask)), 0, 8, 0, 0)
}
