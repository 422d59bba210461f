package child

import "syscall"

// hostNull returns a detached mount of the host's /dev/null. The container's
// own would do only if nobody else could have put a link there
// (CVE-2025-31133).
func hostNull() (int, *Fault) {
	fd, e := cloneTree(atFDCWD, "/dev/null", 0)
	if e != 0 {
		return -1, fault("open", "/dev/null", e)
	}
	var st syscall.Stat_t
	if e := fstat(fd, &st); e != 0 {
		return -1, fault("stat", "/dev/null", e)
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFCHR || st.Rdev != 1<<8|3 {
		f := fault("open", "/dev/null", syscall.ENODEV)
		f.Text = "the host's /dev/null is not the null device"
		return -1, f
	}
	if e := mountSetattr(fd, 0, mountAttr{propagation: syscall.MS_PRIVATE}); e != 0 {
		return -1, fault("set mount propagation", "/dev/null", e)
	}
	return fd, nil
}

// target opens a path to be covered. Below /proc it starts at the procfs that
// we mounted and follows no link.
func (s *setup) target(path string) (int, syscall.Errno) {
	const proc = "/proc/"
	if s.proc >= 0 && hasPrefix(path, proc) {
		fd, e := openat2(s.proc, path[len(proc):], oPath, 0, resolveBeneath|resolveNoSymlinks)
		if e != 0 {
			return fd, e
		}
		if fsMagic(fd) != magicProc {
			closeFD(fd)
			return -1, syscall.EXDEV
		}
		return fd, 0
	}
	return lookup(s.p.RootFD, path)
}

// mask hides paths: a file behind the null device, a directory behind an empty
// read-only tmpfs.
func (s *setup) mask() *Fault {
	for _, path := range s.p.Masked {
		fd, e := s.target(path)
		if e == syscall.ENOENT || e == syscall.ENOTDIR {
			continue
		}
		if e == syscall.EXDEV {
			continue // covered already, or by a mount of the spec
		}
		if e != 0 {
			return fault("open path to mask", path, e)
		}
		f := s.maskOne(fd, path)
		closeFD(fd)
		if f != nil {
			return f
		}
	}
	return nil
}

func (s *setup) maskOne(fd int, path string) *Fault {
	var mount int
	if isDir(fd) {
		var f *Fault
		const roNosuidNodevNoexec = 0xf
		if mount, f = newMount("tmpfs", "tmpfs", []Option{{Key: "nr_blocks", Value: "1"}, {Key: "nr_inodes", Value: "1"}}, roNosuidNodevNoexec); f != nil {
			return f
		}
	} else {
		var e syscall.Errno
		// The clone is of an attached mount of the host's tree, which is still
		// there: the root has not been pivoted yet.
		if mount, e = cloneTree(atFDCWD, "/dev/null", 0); e != 0 {
			return fault("clone", "/dev/null", e)
		}
		if !sameFile(mount, s.null) {
			closeFD(mount)
			return fault("clone", "/dev/null", syscall.ESTALE)
		}
	}
	defer closeFD(mount)
	if e := attach(mount, fd); e != 0 {
		return fault("mask", path, e)
	}
	return nil
}

func sameFile(a, b int) bool {
	var x, y syscall.Stat_t
	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.Dev == y.Dev && x.Ino == y.Ino
}

// readonly mounts paths over themselves without write access.
func (s *setup) readonly() *Fault {
	for _, path := range s.p.Readonly {
		fd, e := s.target(path)
		if e == syscall.ENOENT || e == syscall.ENOTDIR || e == syscall.EXDEV {
			continue
		}
		if e != 0 {
			return fault("open read-only path", path, e)
		}
		mount, e := cloneTree(fd, "", atEmptyPath|atRecursive)
		if e == 0 {
			e = mountSetattr(mount, atRecursive, mountAttr{set: attrRdonly})
		}
		if e == 0 {
			e = attach(mount, fd)
		}
		closeFD(mount)
		closeFD(fd)
		if e != 0 {
			return fault("make read-only", path, e)
		}
	}
	return nil
}

// procfs returns a descriptor of a procfs that nobody else can have tampered
// with: the one we mounted, or a detached one.
func (s *setup) procfs() (int, *Fault) {
	if s.proc >= 0 {
		return s.proc, nil
	}
	fd, f := newMount("proc", "proc", nil, 0)
	if f == nil {
		s.proc = fd
	}
	return fd, f
}

// sysctls are written through our own procfs, without crossing a mount or a
// link: the write cannot be redirected (CVE-2025-52881).
func (s *setup) sysctls() *Fault {
	for _, set := range s.p.Sysctls {
		proc, f := s.procfs()
		if f != nil {
			return f
		}
		if f := writeProc(proc, "sys/"+set.Path, set.Value); f != nil {
			f.Op = "set sysctl"
			f.Path = set.Path
			return f
		}
	}
	return nil
}

func writeProc(proc int, path, value string) *Fault {
	fd, e := openat2(proc, path, syscall.O_WRONLY, 0, resolveBeneath|resolveNoSymlinks|resolveNoXdev)
	if e != 0 {
		return fault("open", "/proc/"+path, e)
	}
	defer closeFD(fd)
	if fsMagic(fd) != magicProc {
		return fault("verify procfs", "/proc/"+path, syscall.EXDEV)
	}
	if e := write(fd, []byte(value)); e != 0 {
		return fault("write", "/proc/"+path, e)
	}
	return nil
}
