package child

import (
	"syscall"
	"unsafe"
)

type mountAttr struct{ set, clear, propagation, userns uint64 }

func mountSetattr(fd int, flags int, a mountAttr) syscall.Errno {
	_, _, e := syscall.RawSyscall6(sysMountSetattr, fdArg(fd), uintptr(unsafe.Pointer(cstr(""))),
		uintptr(atEmptyPath|flags), uintptr(unsafe.Pointer(&a)), unsafe.Sizeof(a), 0)
	return e
}

// cloneTree returns a detached copy of the mount at path below dir.
func cloneTree(dir int, path string, flags int) (int, syscall.Errno) {
	fd, _, e := syscall.RawSyscall(sysOpenTree, fdArg(dir), uintptr(unsafe.Pointer(cstr(path))),
		uintptr(openTreeCopy|oCloexec|flags))
	return int(fd), e
}

// attach moves the detached mount onto what target refers to.
func attach(mount, target int) syscall.Errno {
	empty := cstr("")
	_, _, e := syscall.RawSyscall6(sysMoveMount, fdArg(mount), uintptr(unsafe.Pointer(empty)),
		fdArg(target), uintptr(unsafe.Pointer(empty)), moveFEmpty|moveTEmpty, 0)
	return e
}

func fsopen(fstype string) (int, syscall.Errno) {
	fd, _, e := syscall.RawSyscall(sysFsopen, uintptr(unsafe.Pointer(cstr(fstype))), cloexec, 0)
	return int(fd), e
}

func fsoption(fs int, o Option) syscall.Errno {
	cmd, value := uintptr(fsSetString), unsafe.Pointer(cstr(o.Value))
	if o.Flag {
		cmd, value = fsSetFlag, nil
	}
	_, _, e := syscall.RawSyscall6(sysFsconfig, fdArg(fs), cmd, uintptr(unsafe.Pointer(cstr(o.Key))), uintptr(value), 0, 0)
	return e
}

// newMount makes a filesystem and returns its detached mount.
func newMount(fstype, source string, options []Option, attr int) (int, *Fault) {
	fs, e := fsopen(fstype)
	if e != 0 {
		return -1, fault("mount", fstype, e)
	}
	defer closeFD(fs)
	if source != "" {
		options = append([]Option{{Key: "source", Value: source}}, options...)
	}
	for _, o := range options {
		if e := fsoption(fs, o); e != 0 {
			f := fault("mount option", o.Key, e)
			f.Text = o.Value + fsLog(fs)
			return -1, f
		}
	}
	if _, e := raw(sysFsconfig, fdArg(fs), fsCreate, 0, 0, 0); e != 0 {
		f := fault("mount", fstype, e)
		f.Text = fsLog(fs)
		return -1, f
	}
	fd, e := raw(sysFsmount, fdArg(fs), cloexec, uintptr(attr))
	if e != 0 {
		return -1, fault("mount", fstype, e)
	}
	return fd, nil
}

// fsLog returns what the kernel has to say about the last failure.
func fsLog(fs int) string {
	buf := make([]byte, 256)
	n, _, e := syscall.RawSyscall(syscall.SYS_READ, fdArg(fs), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
	if e != 0 || int(n) <= 2 {
		return ""
	}
	text := buf[:n]
	if text[len(text)-1] == '\n' {
		text = text[:len(text)-1]
	}
	return " (" + string(text) + ")"
}

// A source is a mount of the spec that has been opened and not attached yet.
type source struct {
	fd  int
	dir bool
}

// openBinds opens every bind while the host's tree is still what the paths
// mean and is not yet private: a clone must be made from a shared mount to
// receive (slave) or share its events.
func openBinds(mounts []Mount) ([]source, *Fault) {
	opened := make([]source, len(mounts))
	for i := range mounts {
		opened[i] = source{fd: -1}
		m := &mounts[i]
		if m.Type != "" {
			continue
		}
		fd, e := openBind(m)
		if e == syscall.ENOENT && m.Optional {
			continue
		}
		if e != 0 {
			return nil, fault("open bind source", m.Source, e)
		}
		var st syscall.Stat_t
		if e := fstat(fd, &st); e != 0 {
			return nil, fault("stat bind source", m.Source, e)
		}
		opened[i] = source{fd: fd, dir: st.Mode&syscall.S_IFMT == syscall.S_IFDIR}
		if f := setAttributes(fd, m); f != nil {
			return nil, f
		}
	}
	return opened, nil
}

func openBind(m *Mount) (int, syscall.Errno) {
	flags := 0
	if m.Recursive {
		flags = atRecursive
	}
	if m.NSPid == 0 {
		return cloneTree(atFDCWD, m.Source, flags)
	}
	// A mount can be cloned only from inside its namespace.
	ours, e := open("/proc/thread-self/ns/mnt", syscall.O_RDONLY)
	if e != 0 {
		return -1, e
	}
	defer closeFD(ours)
	theirs, e := open("/proc/"+itoa(m.NSPid)+"/ns/mnt", syscall.O_RDONLY)
	if e != 0 {
		return -1, e
	}
	defer closeFD(theirs)
	if _, e := raw(sysSetns, fdArg(theirs), syscall.CLONE_NEWNS); e != 0 {
		return -1, e
	}
	var fd int
	if m.Held {
		fd, e = cloneTree(atFDCWD, m.Source, flags)
	} else {
		fd, e = cloneInside(m.Source, flags)
	}
	if _, back := raw(sysSetns, fdArg(ours), syscall.CLONE_NEWNS); back != 0 {
		return -1, back
	}
	return fd, e
}

// cloneInside clones path of a container's namespace, where links are its own.
func cloneInside(path string, flags int) (int, syscall.Errno) {
	root, e := open("/", oPath)
	if e != 0 {
		return -1, e
	}
	defer closeFD(root)
	fd, e := lookup(root, path)
	if e != 0 {
		return -1, e
	}
	defer closeFD(fd)
	return cloneTree(fd, "", flags|atEmptyPath)
}

// setAttributes gives the detached mount its flags before anybody can see it:
// a read-only bind is never writable, not even for a moment.
func setAttributes(fd int, m *Mount) *Fault {
	a := mountAttr{set: uint64(m.Attr), clear: uint64(m.AttrClear)}
	if e := mountSetattr(fd, 0, a); a != (mountAttr{}) && e != 0 {
		return fault("set mount flags", m.Target, e)
	}
	a = mountAttr{set: uint64(m.TreeAttr), clear: uint64(m.TreeAttrClear)}
	if a != (mountAttr{}) {
		if e := mountSetattr(fd, atRecursive, a); e != 0 {
			return fault("set mount flags recursively", m.Target, e)
		}
	}
	flags, propagation := 0, m.Propagation
	if propagation == 0 {
		propagation, flags = syscall.MS_PRIVATE, atRecursive
	}
	if m.TreePropagation {
		flags = atRecursive
	}
	if e := mountSetattr(fd, flags, mountAttr{propagation: uint64(propagation)}); e != 0 {
		return fault("set mount propagation", m.Target, e)
	}
	return nil
}

// attachAll puts the spec's mounts in place, in the spec's order.
func (s *setup) attachAll() *Fault {
	for i := range s.p.Mounts {
		m := &s.p.Mounts[i]
		if m.Type == "symlink" {
			if e := s.link(m.Link, m.Target); e != 0 {
				return fault("link", m.Target, e)
			}
			continue
		}
		if m.Type == "attributes" {
			if f := s.change(m); f != nil {
				return f
			}
			continue
		}
		src := s.sources[i]
		if m.Type == "" && src.fd < 0 {
			continue
		}
		if m.Type != "" {
			fd, f := newMount(m.Type, m.Source, m.Options, m.Attr)
			if f != nil {
				if f.Path == m.Type {
					f.Path = m.Target
					f.Text = "type " + m.Type + f.Text
				}
				return f
			}
			src = source{fd: fd, dir: true}
			if m.Propagation != 0 {
				if e := mountSetattr(fd, 0, mountAttr{propagation: uint64(m.Propagation)}); e != 0 {
					return fault("set mount propagation", m.Target, e)
				}
			}
		}
		if f := s.place(src, m.Target); f != nil {
			return f
		}
		if m.Type == "proc" && samePath(m.Target, "/proc") {
			s.proc = src.fd
			continue
		}
		closeFD(src.fd)
	}
	return nil
}

// change sets flags of a mount that is already in place.
func (s *setup) change(m *Mount) *Fault {
	fd, e := lookup(s.p.RootFD, m.Target)
	if e != 0 {
		return fault("open mount", m.Target, e)
	}
	defer closeFD(fd)
	if e := mountSetattr(fd, 0, mountAttr{set: uint64(m.Attr), clear: uint64(m.AttrClear)}); e != 0 {
		return fault("set mount flags", m.Target, e)
	}
	return nil
}

func (s *setup) place(src source, target string) *Fault {
	at, e := ensure(s.p.RootFD, target, src.dir)
	if e != 0 {
		f := fault("create mount point", target, e)
		if e == syscall.EROFS {
			f.Text = "the image does not have it and the root is read-only"
		}
		return f
	}
	defer closeFD(at)
	var st syscall.Stat_t
	if e := fstat(at, &st); e != 0 {
		return fault("stat mount point", target, e)
	}
	if isDir := st.Mode&syscall.S_IFMT == syscall.S_IFDIR; isDir != src.dir {
		f := fault("mount on", target, syscall.ENOTDIR)
		f.Text = "the source is a file and the target a directory"
		if src.dir {
			f.Text = "the source is a directory and the target is not"
		}
		return f
	}
	if e := attach(src.fd, at); e != 0 {
		return fault("mount", target, e)
	}
	return nil
}

func (s *setup) link(content, path string) syscall.Errno {
	dir, name := parent(path)
	at, e := ensure(s.p.RootFD, dir, true)
	if e != 0 {
		return e
	}
	defer closeFD(at)
	if e := symlinkat(content, at, name); e != 0 && e != syscall.EEXIST {
		return e
	}
	return 0
}

func samePath(a, b string) bool {
	x, y := split(a), split(b)
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if x[i] != y[i] {
			return false
		}
	}
	return true
}
