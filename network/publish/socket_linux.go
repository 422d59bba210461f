package publish

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// keepPrefix starts the names under which sockets are kept:
// publish/PROTO/ADDRESS:PORT/KEY.
const keepPrefix = "publish/"

func keepName(s Spec, at netip.AddrPort) string {
	return keepPrefix + s.Proto + "/" + at.String() + "/" + s.Key
}

// socket is a bound socket, listening where it is TCP.
type socket struct {
	file *os.File
	at   netip.AddrPort
}

func (s *Spec) normalize() {
	if s.Proto == "" {
		s.Proto = "tcp"
	}
	s.HostIP = s.HostIP.Unmap()
	s.Hold.normalize()
	if s.HostPortEnd < s.HostPort {
		s.HostPortEnd = s.HostPort
	}
}

// hosts are the addresses to bind: for none given both loopbacks, so that
// "localhost" works whichever a client tries first.
func (s Spec) hosts() []netip.Addr {
	if s.HostIP.IsValid() {
		return []netip.Addr{s.HostIP}
	}
	hosts := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	if haveLoopback6() {
		hosts = append(hosts, netip.IPv6Loopback())
	}
	return hosts
}

func haveLoopback6() bool {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Bind(fd, &unix.SockaddrInet6{Addr: netip.IPv6Loopback().As16()}) == nil
}

// openAll opens the socket of every address, all on one port.
func openAll(s Spec, number uint16) ([]socket, error) {
	hosts := s.hosts()
	for attempt := 0; ; attempt++ {
		var socks []socket
		at := number
		var err error
		for _, h := range hosts {
			var sock socket
			if sock, err = openOne(s.Proto, netip.AddrPortFrom(h, at)); err != nil {
				break
			}
			socks = append(socks, sock)
			at = sock.at.Port() // an ephemeral port, once chosen, holds for the others
		}
		if err == nil {
			return socks, nil
		}
		for _, sock := range socks {
			sock.file.Close()
		}
		if _, taken := errors.AsType[*TakenError](err); !taken || number != 0 || attempt == 16 {
			return nil, err
		}
	}
}

func openOne(proto string, at netip.AddrPort) (socket, error) {
	kind := unix.SOCK_STREAM
	if proto == "udp" {
		kind = unix.SOCK_DGRAM
	} else if proto != "tcp" {
		return socket{}, fmt.Errorf("protocol %q cannot be published", proto)
	}
	family := unix.AF_INET
	if at.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return socket{}, os.NewSyscallError("socket", err)
	}
	if err := prepare(fd, family, kind, at); err != nil {
		unix.Close(fd)
		if errors.Is(err, unix.EADDRINUSE) {
			return socket{}, &TakenError{Addr: at, Proto: proto}
		}
		return socket{}, fmt.Errorf("listen at %s/%s: %w", at, proto, err)
	}
	return named(fd, proto)
}

func prepare(fd, family, kind int, at netip.AddrPort) error {
	if family == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return err
		}
	}
	if kind == unix.SOCK_STREAM {
		// Connections of an earlier life in TIME_WAIT are no reason to refuse.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return err
		}
	} else if err := wantDestination(fd, family); err != nil {
		return err
	}
	if err := unix.Bind(fd, sockaddr(at)); err != nil {
		return err
	}
	if kind == unix.SOCK_STREAM {
		return unix.Listen(fd, backlog)
	}
	return nil
}

// wantDestination makes the kernel say to which of the host's addresses a
// datagram came: the reply must come from there.
func wantDestination(fd, family int) error {
	if family == unix.AF_INET6 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
}

func sockaddr(at netip.AddrPort) unix.Sockaddr {
	if at.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}
	}
	sa := &unix.SockaddrInet6{Addr: at.Addr().As16(), Port: int(at.Port())}
	if n, err := strconv.ParseUint(at.Addr().Zone(), 10, 32); err == nil {
		sa.ZoneId = uint32(n)
	}
	return sa
}

// named wraps a bound socket, with the address it really has.
func named(fd int, proto string) (socket, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return socket{}, os.NewSyscallError("getsockname", err)
	}
	s := socket{}
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		s.at = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		s.at = netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	s.file = os.NewFile(uintptr(fd), proto+" "+s.at.String())
	return s, nil
}

// keep hands duplicates to the Keeper.
func (t *Table) keep(s Spec, socks []socket) error {
	if t.cfg.Keep == nil {
		return nil
	}
	for _, sock := range socks {
		if err := t.cfg.Keep.Keep(keepName(s, sock.at), sock.file); err != nil {
			for _, sock := range socks {
				sock.file.Close()
			}
			return fmt.Errorf("keep socket of port %s: %w", sock.at, err)
		}
	}
	return nil
}

// take finds the sockets that were kept for a port. Ones that do not fit what
// is asked for now are let go. Called with mu held.
func (t *Table) take(s Spec) []socket {
	var socks []socket
	for name, f := range t.restored {
		proto, rest, _ := strings.Cut(strings.TrimPrefix(name, keepPrefix), "/")
		text, key, _ := strings.Cut(rest, "/")
		if key != s.Key {
			continue
		}
		delete(t.restored, name)
		at, err := netip.ParseAddrPort(text)
		if err == nil && proto == s.Proto && s.wants(at) {
			socks = append(socks, socket{file: f, at: at})
			continue
		}
		f.Close()
		if t.cfg.Keep != nil {
			t.warn(t.cfg.Keep.Drop(name))
		}
	}
	if len(socks) == len(s.hosts()) {
		return inOrder(socks)
	}
	for _, sock := range socks {
		sock.file.Close()
		if t.cfg.Keep != nil {
			t.warn(t.cfg.Keep.Drop(keepName(s, sock.at)))
		}
	}
	return nil
}

// inOrder puts IPv4 first: it names the port.
func inOrder(socks []socket) []socket {
	if len(socks) == 2 && socks[0].at.Addr().Is6() {
		socks[0], socks[1] = socks[1], socks[0]
	}
	return socks
}

// wants reports whether a socket at this address serves the spec.
func (s Spec) wants(at netip.AddrPort) bool {
	for _, h := range s.hosts() {
		if h == at.Addr() {
			return s.HostPort == 0 || at.Port() >= s.HostPort && at.Port() <= s.HostPortEnd
		}
	}
	return false
}
