package nat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	redirectTable = "devstack" // the one table in a sandbox
	fakeUDP       = 0xd5f1     // stand for the ports in the message below
	fakeTCP       = 0xd5f2
)

// Redirect turns port 53 of the resolver's address into the resolver's ports,
// and back, inside a sandbox. The message for the kernel is composed once; a
// sandbox differs from the next in its ports alone.
type Redirect struct {
	message  []byte
	udp, tcp []int // where in it the ports are
}

// NewRedirect composes the message.
func NewRedirect(addr netip.Addr) (*Redirect, error) {
	var r Redirect
	c, err := nftables.New(nftables.WithTestDial(r.capture))
	if err != nil {
		return nil, fmt.Errorf("compose redirect: %w", err)
	}
	table := c.AddTable(&nftables.Table{Name: redirectTable, Family: nftables.TableFamilyIPv4})
	chain := c.AddChain(&nftables.Chain{
		Name: "resolver", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityMangle,
	})
	c.FlushChain(chain) // an earlier engine's ports are not ours
	host := netip.PrefixFrom(addr, 32)
	for _, to := range []struct {
		proto byte
		port  uint16
	}{{unix.IPPROTO_UDP, fakeUDP}, {unix.IPPROTO_TCP, fakeTCP}} {
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: rule(plain(destination(host)), rewrite(to.proto, 2, 53, to.port))})
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: rule(plain(source(host)), rewrite(to.proto, 0, to.port, 53))})
	}
	_ = c.Flush() // goes to capture, which answers nothing
	r.udp, r.tcp = r.places(fakeUDP), r.places(fakeTCP)
	if len(r.udp) != 2 || len(r.tcp) != 2 {
		return nil, fmt.Errorf("compose redirect: ports at %v and %v, want two places each", r.udp, r.tcp)
	}
	return &r, nil
}

// places finds the port where it is an attribute's whole value: message
// numbers, which are random, can look like a port alone.
func (r *Redirect) places(port uint16) []int {
	attr := binary.NativeEndian.AppendUint16(nil, unix.NLA_HDRLEN+2)
	attr = binary.NativeEndian.AppendUint16(attr, unix.NFTA_DATA_VALUE)
	attr = binary.BigEndian.AppendUint16(attr, port)
	var out []int
	for i := 0; i+len(attr) <= len(r.message); i++ {
		if bytes.HasPrefix(r.message[i:], attr) {
			out = append(out, i+unix.NLA_HDRLEN)
		}
	}
	return out
}

var errCaptured = errors.New("captured")

// capture keeps the batch instead of sending it. Only the last rule wants an
// acknowledgement: faults of the others are reported anyway.
func (r *Redirect) capture(req []netlink.Message) ([]netlink.Message, error) {
	for i, m := range req {
		m.Header.Flags &^= netlink.Acknowledge | netlink.Echo
		if i == len(req)-2 { // the last is the end of the batch
			m.Header.Flags |= netlink.Acknowledge
		}
		m.Header.Length = uint32(unix.NLMSG_HDRLEN + len(m.Data))
		m.Header.PID = 0
		b, err := m.MarshalBinary()
		if err != nil {
			return nil, err
		}
		r.message = append(r.message, b...)
	}
	return nil, errCaptured
}

// Set states the ports in the calling thread's network namespace.
func (r *Redirect) Set(udp, tcp uint16) error {
	msg := bytes.Clone(r.message)
	for _, i := range r.udp {
		binary.BigEndian.PutUint16(msg[i:], udp)
	}
	for _, i := range r.tcp {
		binary.BigEndian.PutUint16(msg[i:], tcp)
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return os.NewSyscallError("socket netfilter", err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("send netfilter", err)
	}
	var buf [4096]byte
	n, _, err := unix.Recvfrom(fd, buf[:], 0) // the kernel has answered by now
	if err != nil {
		return os.NewSyscallError("receive netfilter", err)
	}
	if n < unix.NLMSG_HDRLEN+4 || binary.NativeEndian.Uint16(buf[4:]) != unix.NLMSG_ERROR {
		return errors.New("redirect resolver: unexpected answer")
	}
	if errno := syscall.Errno(-int32(binary.NativeEndian.Uint32(buf[unix.NLMSG_HDRLEN:]))); errno != 0 {
		return fmt.Errorf("redirect resolver: %w", errno)
	}
	return nil
}

// plain leaves out the family test, which a table of one family needs not.
func plain(m match) match { return m[2:] }

// rewrite changes the 16-bit field of the transport header from one port to another.
func rewrite(proto byte, offset uint32, from, to uint16) match {
	checksum := uint32(16) // TCP
	if proto == unix.IPPROTO_UDP {
		checksum = 6
	}
	return match{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal([]byte{proto}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
		equal(binaryutil.BigEndian.PutUint16(from)),
		&expr.Immediate{Register: 1, Data: binaryutil.BigEndian.PutUint16(to)},
		&expr.Payload{
			OperationType: expr.PayloadWrite, SourceRegister: 1, Base: expr.PayloadBaseTransportHeader,
			Offset: offset, Len: 2, CsumType: expr.CsumTypeInet, CsumOffset: checksum,
		},
	}
}
