package rtnl

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// patience bounds the wait for the kernel's work queue.
const patience = 5 * time.Second

// LocalRoutes hears of IPv6 addresses becoming usable. The kernel adds an
// address at once, but its local route and its multicast group from a work
// queue, also without duplicate detection: a neighbour's answer that comes
// before is taken for somebody else's, and asked for again a second later.
type LocalRoutes struct{ events *os.File }

// WatchLocalRoutes begins to listen in the calling thread's network namespace.
func WatchLocalRoutes() (*LocalRoutes, error) {
	f, err := subscribe(unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		return nil, err
	}
	return &LocalRoutes{events: f}, nil
}

// Close stops listening.
func (l *LocalRoutes) Close() error { return l.events.Close() }

// Await waits until an address that was added after WatchLocalRoutes is usable.
func (l *LocalRoutes) Await(a netip.Addr) error {
	if err := l.events.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	var buf [8 << 10]byte
	for {
		n, err := l.events.Read(buf[:])
		if err != nil {
			return fmt.Errorf("wait for address %s: %w", a, err)
		}
		found := false
		if !each(buf[:n], func(kind uint16, body []byte) {
			found = found || kind == unix.RTM_NEWROUTE && routeTo(body) == a
		}) {
			return fmt.Errorf("wait for address %s: malformed message", a)
		}
		if found {
			return nil
		}
	}
}

// routeTo is the destination of a route to a single IPv6 address.
func routeTo(b []byte) netip.Addr {
	if len(b) < unix.SizeofRtMsg || b[0] != unix.AF_INET6 || b[1] != 128 { // rtm_family, rtm_dst_len
		return netip.Addr{}
	}
	attrs, err := nl.ParseRouteAttr(b[unix.SizeofRtMsg:])
	if err != nil {
		return netip.Addr{}
	}
	for _, a := range attrs {
		if a.Attr.Type == unix.RTA_DST {
			dst, _ := netip.AddrFromSlice(a.Value)
			return dst
		}
	}
	return netip.Addr{}
}

// subscribe opens a socket that hears a group's events.
func subscribe(group int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket netlink", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (group - 1)}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind netlink", err)
	}
	return os.NewFile(uintptr(fd), "netlink events"), nil
}

// each calls fn for every message in b, false where b is malformed.
func each(b []byte, fn func(kind uint16, body []byte)) bool {
	for len(b) >= unix.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return false
		}
		fn(binary.NativeEndian.Uint16(b[4:]), b[unix.NLMSG_HDRLEN:size])
		b = b[min(len(b), (size+3)&^3):]
	}
	return true
}
