package child

import (
	"syscall"
	"unsafe"
)

// The nursery is this program, executed once, waiting to be forked. Executing it
// for each child would cost more than everything that the child then does:
// loading, Go's start, and its end with all of its threads at execve.
//
//	engine                 nursery                     child
//	  | -- order, fds ------> |                          |
//	  |                       | -- clone3(CLONE_PARENT)->|
//	  | <-- pid, or fault --- |                          | descriptors to their places
//	  | -- Program --------------------------------------> ...
//
// It is a fork of a Go process itself, because only a process of one thread can
// go on in a fork without a scheduler. It holds nothing but its socket, is told
// nothing of the containers, and ends with the engine's end of that socket.

// nursery serves orders until the engine is gone. It returns only in children,
// true in one that is ready for its program.
func nursery() bool {
	// Nobody in a container that a child is about to join may trace it or look
	// into its descriptors (CVE-2016-9962). execve sets it back.
	raw(syscall.SYS_PRCTL, prSetDumpable, 0, 0, 0, 0)
	raw(syscall.SYS_UMASK, 0) // modes of mount points and nodes are what we say
	if f := rebirth(); f != nil {
		send(MsgFault, f.fields, -1)
		return false
	}
	// What comes with an order must not land in a place of the child's.
	raw(syscall.SYS_DUP3, 0, FDTarget, oCloexec)
	deepen()
	// Nobody collects garbage here, so the loop makes none.
	var o order
	answer := make([]byte, 0, MessageHead+8)
	for o.receive() {
		pid, e := o.clone()
		if pid == 0 && e == 0 {
			if f := o.settle(); f != nil {
				send(MsgFault, f.fields, -1)
				return false
			}
			return true
		}
		o.close()
		if e != 0 {
			send(MsgFault, fault("start child", "", e).fields, -1)
			continue
		}
		c := codec{buf: append(answer, MsgPID)}
		size := 8
		c.int(&size)
		c.int(&pid)
		write(FDSocket, c.buf)
	}
	return false
}

// deepen makes the stack as large as any child needs: growing it would bring
// pages of tables into each of them.
//
//go:noinline
func deepen() (sum byte) {
	var room [24 << 10]byte
	for i := range room {
		sum += room[i]
	}
	return sum
}

// order asks for one child: a byte of flags, and descriptors.
type order struct {
	flags byte
	fds   []int32 // in room
	room  [MostOrderFDs]int32

	control struct {
		head syscall.Cmsghdr
		fds  [MostOrderFDs]int32
	}
}

// receive reads the next order; false means that the engine is gone, or says
// what makes no sense.
func (o *order) receive() bool {
	iov := syscall.Iovec{Base: &o.flags}
	iov.SetLen(1)
	for {
		msg := syscall.Msghdr{Iov: &iov, Iovlen: 1, Control: (*byte)(unsafe.Pointer(&o.control))}
		msg.SetControllen(int(unsafe.Sizeof(o.control)))
		const cmsgCloexec = 0x40000000
		n, _, e := syscall.RawSyscall(syscall.SYS_RECVMSG, FDSocket, uintptr(unsafe.Pointer(&msg)), cmsgCloexec)
		if e == syscall.EINTR {
			continue
		}
		if e != 0 || n != 1 || msg.Flags&syscall.MSG_CTRUNC != 0 ||
			o.control.head.Level != solSocket || o.control.head.Type != scmRights {
			return false
		}
		o.room = o.control.fds
		o.fds = o.room[:(int(o.control.head.Len)-int(unsafe.Sizeof(o.control.head)))/4]
		return len(o.fds) >= o.fixed()
	}
}

// fixed is how many descriptors come before those of v1 groups: the standard
// ones, the socket, and what the flags say.
func (o *order) fixed() int {
	n := FDSocket + 1
	for _, flag := range [...]byte{OrderTarget, OrderCgroup} {
		if o.flags&flag != 0 {
			n++
		}
	}
	return n
}

func (o *order) close() {
	for _, fd := range o.fds {
		closeFD(int(fd))
	}
}

// cloneArgs is struct clone_args of linux/sched.h.
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

// clone forks. The engine becomes the parent of the child.
func (o *order) clone() (int, syscall.Errno) {
	const (
		cloneParent     = 0x8000
		cloneIntoCgroup = 0x200000000
	)
	args := cloneArgs{flags: cloneParent}
	if o.flags&OrderNewPID != 0 {
		args.flags |= syscall.CLONE_NEWPID
	}
	if o.flags&OrderCgroup != 0 {
		args.flags |= cloneIntoCgroup
		args.cgroup = uint64(o.fds[o.fixed()-1])
	}
	pid, _, e := syscall.RawSyscall(sysClone3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	return int(pid), e
}

// settle puts the child's descriptors in their places, lets go of all others,
// and enters the v1 groups.
func (o *order) settle() *Fault {
	for place, fd := range o.fds[:FDSocket+1] {
		if _, e := raw(syscall.SYS_DUP3, uintptr(fd), uintptr(place), 0); e != 0 {
			return fault("take descriptor", itoa(place), e)
		}
	}
	closeFD(FDExe)
	if o.flags&OrderTarget == 0 {
		closeFD(FDTarget)
	} else if _, e := raw(syscall.SYS_DUP3, uintptr(o.fds[FDSocket+1]), FDTarget, oCloexec); e != 0 {
		return fault("take descriptor", itoa(FDTarget), e)
	}
	for _, fd := range o.fds[o.fixed():] {
		if e := write(int(fd), []byte("0")); e != 0 {
			name, _ := readlinkat(atFDCWD, "/proc/self/fd/"+itoa(int(fd)))
			return fault("enter cgroup", name, e)
		}
	}
	if _, e := raw(sysCloseRange, FDTarget+1, 0xffffffff, 0); e != 0 {
		return fault("close descriptors", "", e)
	}
	return nil
}
