package child

import (
	"syscall"
	"unsafe"
)

// devices makes /dev's nodes and links. The nodes are made through descriptors
// of directories inside the root; where making is not allowed (a user namespace)
// the host's node is bound instead.
func (s *setup) devices() *Fault {
	for i := range s.p.Devices {
		if f := s.device(&s.p.Devices[i]); f != nil {
			return f
		}
	}
	if !s.p.SetupDev {
		return nil
	}
	links := [...][2]string{
		{"/proc/self/fd", "/dev/fd"},
		{"/proc/self/fd/0", "/dev/stdin"},
		{"/proc/self/fd/1", "/dev/stdout"},
		{"/proc/self/fd/2", "/dev/stderr"},
		{"pts/ptmx", "/dev/ptmx"},
	}
	for _, l := range links {
		if e := s.link(l[0], l[1]); e != 0 {
			return fault("link", l[1], e)
		}
	}
	return nil
}

func (s *setup) device(d *Device) *Fault {
	dir, name := parent(d.Path)
	at, e := ensure(s.p.RootFD, dir, true)
	if e != 0 {
		return fault("create directory for device", d.Path, e)
	}
	defer closeFD(at)
	switch e := mknodat(at, name, uint32(d.Mode), d.Dev); e {
	case 0:
	case syscall.EEXIST:
		return s.existing(at, name, d)
	case syscall.EPERM:
		return s.bindDevice(d)
	default:
		return fault("create device", d.Path, e)
	}
	// mknod heeds the umask, and O_PATH descriptors cannot be changed.
	fd, e := openat2(at, name, oPath|syscall.O_NOFOLLOW, 0, resolveBeneath)
	if e != 0 {
		return fault("open device", d.Path, e)
	}
	defer closeFD(fd)
	if d.UID|d.GID != 0 {
		empty := cstr("")
		if _, _, e := syscall.RawSyscall6(syscall.SYS_FCHOWNAT, fdArg(fd), uintptr(unsafe.Pointer(empty)),
			fdArg(d.UID), fdArg(d.GID), atEmptyPath, 0); e != 0 {
			return fault("chown device", d.Path, e)
		}
	}
	return nil
}

// existing accepts a node that is there already if it is the one wanted.
func (s *setup) existing(at int, name string, d *Device) *Fault {
	fd, e := openat2(at, name, oPath|syscall.O_NOFOLLOW, 0, resolveBeneath)
	if e != 0 {
		return fault("open device", d.Path, e)
	}
	defer closeFD(fd)
	var st syscall.Stat_t
	if e := fstat(fd, &st); e != 0 {
		return fault("stat device", d.Path, e)
	}
	if st.Rdev != d.Dev || (st.Mode^uint32(d.Mode))&syscall.S_IFMT != 0 {
		f := fault("create device", d.Path, syscall.EEXIST)
		f.Text = "something else has its name"
		return f
	}
	return nil
}

func (s *setup) bindDevice(d *Device) *Fault {
	mount, e := cloneTree(atFDCWD, d.Path, 0)
	if e != 0 {
		return fault("create device", d.Path, e)
	}
	defer closeFD(mount)
	return s.place(source{fd: mount}, d.Path)
}

// console makes the terminal inside the container's own devpts and mounts it on
// /dev/console. Every step goes through a descriptor whose kind has been
// verified (CVE-2025-52565).
func (s *setup) console() *Fault {
	if !s.p.Process.Terminal {
		return nil
	}
	slave, f := openTerminal(s.p.RootFD, &s.p.Process)
	if f != nil {
		return f
	}
	mount, e := cloneTree(slave, "", atEmptyPath)
	if e != 0 {
		// The slave was opened through the master; its mount is the devpts.
		return fault("clone terminal", "/dev/console", e)
	}
	defer closeFD(mount)
	return s.place(source{fd: mount}, "/dev/console")
}

// openTerminal opens a new terminal in the devpts below root, sends the master
// to the parent and puts the slave on descriptors 0, 1 and 2.
func openTerminal(root int, p *Process) (int, *Fault) {
	const path = "/dev/pts/ptmx"
	master, e := openat2(root, relative(path), syscall.O_RDWR|syscall.O_NOCTTY, 0, inRoot|resolveNoSymlinks)
	if e != 0 {
		f := fault("open terminal", path, e)
		if e == syscall.ENOENT {
			f.Text = "a terminal needs a devpts at /dev/pts"
		}
		return -1, f
	}
	defer closeFD(master)
	if fsMagic(master) != magicDevpts {
		return -1, fault("verify devpts", path, syscall.ENOTTY)
	}
	unlock := int32(0)
	if _, _, e := syscall.RawSyscall(syscall.SYS_IOCTL, fdArg(master), tiocsptlck, uintptr(unsafe.Pointer(&unlock))); e != 0 {
		return -1, fault("unlock terminal", path, e)
	}
	slave, e := ioctl(master, tiocgptpeer, syscall.O_RDWR|syscall.O_NOCTTY|oCloexec)
	if e != 0 {
		return -1, fault("open terminal's slave", path, e)
	}
	if p.Rows > 0 && p.Cols > 0 {
		size := [4]uint16{uint16(p.Rows), uint16(p.Cols)}
		syscall.RawSyscall(syscall.SYS_IOCTL, fdArg(slave), tiocswinsz, uintptr(unsafe.Pointer(&size)))
	}
	if e := fchown(slave, p.UID, -1); e != 0 {
		return -1, fault("chown terminal", path, e)
	}
	for fd := range 3 {
		if _, e := raw(syscall.SYS_DUP3, fdArg(slave), fdArg(fd), 0); e != 0 {
			return -1, fault("use terminal", path, e)
		}
	}
	return slave, send(MsgConsole, nil, master)
}
