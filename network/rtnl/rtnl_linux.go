package rtnl

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Conn is a netlink socket. It stays in the network namespace of the thread
// that opened it, so it reaches into a sandbox from any thread afterwards.
type Conn struct {
	mu  sync.Mutex
	fd  int
	seq uint32
}

// Open opens a socket in the calling thread's network namespace.
func Open() (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket netlink", err)
	}
	// Answers without a copy of the request: a batch's acks then fit one read.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	return &Conn{fd: fd}, nil
}

// Close closes the socket.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return nil
	}
	err := unix.Close(c.fd)
	c.fd = -1
	return err
}

// Op is one request of a batch.
type Op struct {
	Name  string          // what it does, for the error
	Maybe []syscall.Errno // answers that are as good as success
	req   *nl.NetlinkRequest
}

// Accept marks answers that are as good as success (EEXIST for "make sure").
func (o Op) Accept(e ...syscall.Errno) Op {
	o.Maybe = e
	return o
}

// Run sends ops in one message and reports the first that failed. The kernel
// carries out all of them in order, also those after a failure.
func (c *Conn) Run(ops ...Op) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return os.ErrClosed
	}
	var out []byte
	first := c.seq + 1
	for _, o := range ops {
		c.seq++
		o.req.Seq = c.seq
		o.req.Flags |= unix.NLM_F_REQUEST | unix.NLM_F_ACK
		out = append(out, o.req.Serialize()...)
	}
	if err := unix.Sendto(c.fd, out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("send netlink", err)
	}
	return c.answers(ops, first)
}

func (c *Conn) answers(ops []Op, first uint32) error {
	var failed error
	var buf [8192]byte
	for left := len(ops); left > 0; {
		n, _, err := unix.Recvfrom(c.fd, buf[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("receive netlink", err)
		}
		for b := buf[:n]; len(b) >= unix.NLMSG_HDRLEN; {
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.NLMSG_HDRLEN || size > len(b) {
				return fmt.Errorf("receive netlink: message of %d bytes in %d", size, len(b))
			}
			kind, seq := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint32(b[8:])
			i := int(seq - first)
			if kind == unix.NLMSG_ERROR && size >= unix.NLMSG_HDRLEN+4 && i >= 0 && i < len(ops) {
				left--
				errno := syscall.Errno(-int32(binary.NativeEndian.Uint32(b[unix.NLMSG_HDRLEN:])))
				if errno != 0 && failed == nil && !ops[i].allows(errno) {
					failed = fmt.Errorf("%s: %w", ops[i].Name, errno)
				}
			}
			b = b[min(len(b), (size+3)&^3):]
		}
	}
	return failed
}

func (o Op) allows(e syscall.Errno) bool {
	for _, m := range o.Maybe {
		if m == e {
			return true
		}
	}
	return false
}

// Index returns the index of an interface, ENODEV where there is none. The
// question takes no lock of the kernel's, as one by message would.
func (c *Conn) Index(name string) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ask, err := unix.NewIfreq(name)
	if err == nil {
		err = unix.IoctlIfreq(c.fd, unix.SIOCGIFINDEX, ask)
	}
	if err != nil {
		return 0, fmt.Errorf("find interface %s: %w", name, err)
	}
	return int(ask.Uint32()), nil
}
