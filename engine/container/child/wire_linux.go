package child

import (
	"syscall"
	"unsafe"
)

func fault(op, path string, e syscall.Errno) *Fault {
	return &Fault{Op: op, Path: path, Errno: e}
}

// exitCode is the shell's: 127 for a command that is not there, 126 for one
// that cannot be executed, 125 for everything of ours.
func (f *Fault) exitCode() int {
	switch {
	case f.Op != "exec":
		return 125
	case f.Errno == syscall.ENOENT:
		return 127
	}
	return 126
}

// receive reads the Program and the root's mount that comes with it; false
// means that the engine is gone.
func receive(p *Program) bool {
	head := make([]byte, 8)
	n, root := readRights(head)
	if n <= 0 || !readFull(head[n:]) {
		return false
	}
	length := uint64(0)
	c := codec{buf: head, reading: true}
	c.num(&length)
	const most = 64 << 20
	if length > most {
		return false
	}
	body := make([]byte, length)
	if !readFull(body) || !p.Decode(body) {
		return false
	}
	p.RootFD = root
	return true
}

// rights is a control message with one descriptor.
type rights struct {
	head syscall.Cmsghdr
	fd   int32
	_    int32
}

const solSocket, scmRights = 1, 1

// readRights reads some bytes and the descriptor that comes with them, or -1.
func readRights(b []byte) (n, fd int) {
	var control rights
	iov := syscall.Iovec{Base: &b[0]}
	iov.SetLen(len(b))
	msg := syscall.Msghdr{Iov: &iov, Iovlen: 1, Control: (*byte)(unsafe.Pointer(&control))}
	msg.SetControllen(int(unsafe.Sizeof(control)))
	for {
		const cmsgCloexec = 0x40000000
		// Through the scheduler, as read: the engine may still mount the root.
		r, _, e := syscall.Syscall(syscall.SYS_RECVMSG, FDSocket, uintptr(unsafe.Pointer(&msg)), cmsgCloexec)
		if e == syscall.EINTR {
			continue
		}
		if e != 0 {
			return -1, -1
		}
		if control.head.Level != solSocket || control.head.Type != scmRights {
			return int(r), -1
		}
		return int(r), int(control.fd)
	}
}

func readFull(b []byte) bool {
	for len(b) > 0 {
		n, e := read(FDSocket, b)
		if n <= 0 || e != 0 {
			return false
		}
		b = b[n:]
	}
	return true
}

// send writes one message, with a descriptor if fd is not -1.
func send(kind byte, body func(*codec), fd int) *Fault {
	b := encodeMessage(kind, body)
	if fd < 0 {
		if e := write(FDSocket, b); e != 0 {
			return fault("report to engine", "", e)
		}
		return nil
	}
	control := rights{head: syscall.Cmsghdr{Level: solSocket, Type: scmRights}, fd: int32(fd)}
	control.head.SetLen(int(unsafe.Sizeof(control.head)) + 4)
	iov := syscall.Iovec{Base: &b[0]}
	iov.SetLen(len(b))
	msg := syscall.Msghdr{Iov: &iov, Iovlen: 1, Control: (*byte)(unsafe.Pointer(&control))}
	msg.SetControllen(int(unsafe.Sizeof(control)))
	if _, _, e := syscall.RawSyscall(syscall.SYS_SENDMSG, FDSocket, uintptr(unsafe.Pointer(&msg)), 0); e != 0 {
		return fault("report to engine", "", e)
	}
	return nil
}
