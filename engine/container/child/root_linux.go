package child

import (
	"syscall"
	"unsafe"
)

// setup is one container's root filesystem on its way.
type setup struct {
	p       *Program
	sources []source // of p.Mounts; -1 where it is not a bind
	proc    int      // the container's own procfs, or a private one; -1
	null    int      // detached mount of the host's /dev/null
	small   int      // tmpfs with the small files
}

// root builds the whole tree below p.RootFD and makes it "/". Nothing of it is
// ever in the host's mount table: the root arrives as a detached mount, and the
// namespace it is attached in is ours.
func (s *setup) root() *Fault {
	steps := []func() *Fault{
		s.open, s.attachRoot, s.submounts, s.attachAll, s.devices, s.files,
		s.sysctls, s.mask, s.readonly, s.workdir, s.console, s.freeze, s.pivot,
	}
	for _, step := range steps {
		if f := step(); f != nil {
			return f
		}
	}
	return nil
}

// open takes everything that is named by a path of the host.
func (s *setup) open() (f *Fault) {
	s.proc, s.null = -1, -1
	if s.sources, f = openBinds(s.p.Mounts); f != nil {
		return f
	}
	for i := range s.p.Submounts {
		sub := &s.p.Submounts[i]
		fd, e := cloneTree(atFDCWD, sub.Source, atRecursive)
		if e != 0 {
			return fault("open submount", sub.Source, e)
		}
		a := mountAttr{set: attrRdonly, propagation: syscall.MS_PRIVATE}
		if e := mountSetattr(fd, atRecursive, a); e != 0 {
			return fault("make submount read-only", sub.Source, e)
		}
		s.sources = append(s.sources, source{fd: fd, dir: isDir(fd)})
	}
	if len(s.p.Masked) > 0 {
		s.null, f = hostNull()
	}
	return f
}

func isDir(fd int) bool {
	var st syscall.Stat_t
	return fstat(fd, &st) == 0 && st.Mode&syscall.S_IFMT == syscall.S_IFDIR
}

func (s *setup) attachRoot() *Fault {
	change := uintptr(s.p.Propagate)
	if _, _, e := syscall.RawSyscall6(syscall.SYS_MOUNT, 0, uintptr(unsafe.Pointer(cstr("/"))), 0, change, 0, 0); e != 0 {
		return fault("make the mount tree private", "/", e)
	}
	at, e := open("/", oPath)
	if e != 0 {
		return fault("open", "/", e)
	}
	defer closeFD(at)
	if len(s.p.Files) > 0 {
		var f *Fault
		const nosuidNodevNoexec = 0x2 | 0x4 | 0x8
		if s.small, f = newMount("tmpfs", "devstack", []Option{{Key: "mode", Value: "0755"}}, nosuidNodevNoexec); f != nil {
			return f
		}
		if e := attach(s.small, at); e != 0 {
			return fault("attach tmpfs", "/", e)
		}
	}
	if e := attach(s.p.RootFD, at); e != 0 {
		return fault("attach root", "/", e)
	}
	return nil
}

func (s *setup) submounts() *Fault {
	for i := range s.p.Submounts {
		src := s.sources[len(s.p.Mounts)+i]
		if f := s.place(src, s.p.Submounts[i].Target); f != nil {
			return f
		}
		closeFD(src.fd)
	}
	return nil
}

// files mounts small files over their paths. They live in one private tmpfs,
// which sits between the host's root and the container's, because older kernels
// clone no mount that is not attached; it goes away with the host's tree.
func (s *setup) files() *Fault {
	for i := range s.p.Files {
		if f := s.file(s.small, itoa(i), &s.p.Files[i]); f != nil {
			return f
		}
	}
	return nil
}

func (s *setup) file(tmp int, name string, file *File) *Fault {
	fd, e := openat(tmp, name, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL, uint32(file.Mode))
	if e != 0 {
		return fault("create file for", file.Path, e)
	}
	defer closeFD(fd)
	if e := write(fd, file.Data); e != 0 {
		return fault("write file for", file.Path, e)
	}
	if e := fchmod(fd, uint32(file.Mode)); e != 0 {
		return fault("chmod file for", file.Path, e)
	}
	if e := fchown(fd, file.UID, file.GID); e != 0 {
		return fault("chown file for", file.Path, e)
	}
	mount, e := cloneTree(tmp, name, 0)
	if e != 0 {
		return fault("clone file for", file.Path, e)
	}
	defer closeFD(mount)
	return s.place(source{fd: mount}, file.Path)
}

// workdir makes the working directory, as every engine does.
func (s *setup) workdir() *Fault {
	if !s.p.Process.MakeCwd {
		return nil
	}
	fd, e := ensure(s.p.RootFD, s.p.Process.Cwd, true)
	if e == syscall.EROFS {
		return nil // chdir will say so
	}
	if e != 0 {
		return fault("create working directory", s.p.Process.Cwd, e)
	}
	closeFD(fd)
	return nil
}

func (s *setup) freeze() *Fault {
	if !s.p.ReadonlyRoot {
		return nil
	}
	if e := mountSetattr(s.p.RootFD, 0, mountAttr{set: attrRdonly}); e != 0 {
		return fault("make root read-only", "/", e)
	}
	return nil
}

// pivot swaps "/" and lets go of the host's tree.
func (s *setup) pivot() *Fault {
	old, e := open("/", syscall.O_RDONLY|syscall.O_DIRECTORY)
	if e != 0 {
		return fault("open", "/", e)
	}
	if _, e := raw(syscall.SYS_FCHDIR, fdArg(s.p.RootFD)); e != 0 {
		return fault("enter root", "/", e)
	}
	dot := cstr(".")
	if _, _, e := syscall.RawSyscall(syscall.SYS_PIVOT_ROOT, uintptr(unsafe.Pointer(dot)), uintptr(unsafe.Pointer(dot)), 0); e != 0 {
		return fault("pivot_root", "/", e)
	}
	if _, e := raw(syscall.SYS_FCHDIR, fdArg(old)); e != 0 {
		return fault("enter old root", "/", e)
	}
	closeFD(old)
	// umount2 takes the topmost mount at a place: the tmpfs of the small files,
	// where there is one, still lies on the old root.
	const detach = 2
	layers := 1
	if s.small > 0 {
		layers = 2
	}
	for range layers {
		if _, _, e := syscall.RawSyscall(syscall.SYS_UMOUNT2, uintptr(unsafe.Pointer(dot)), detach, 0); e != 0 {
			return fault("detach old root", "/", e)
		}
	}
	return chdir("/")
}

func chdir(path string) *Fault {
	if _, _, e := syscall.RawSyscall(syscall.SYS_CHDIR, uintptr(unsafe.Pointer(cstr(path))), 0, 0); e != 0 {
		return fault("chdir", path, e)
	}
	return nil
}
