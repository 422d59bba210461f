package publish

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	udpIdle     = 90 * time.Second // a client that is silent for this long is forgotten
	udpClients  = 1024             // clients a port remembers
	udpWaiting  = 64               // datagrams that wait for a backend
	maxDatagram = 64 << 10
)

// relay carries datagrams between the clients of one socket and the backends:
// each client has a socket of its own towards its backend, so that replies find
// their way back. Buffers are borrowed for the moment of reading.
type relay struct {
	p       *port
	conn    *net.UDPConn
	buffers sync.Pool

	mu      sync.Mutex
	clients map[clientKey]*client
	waiting []datagram
}

type clientKey struct {
	from netip.AddrPort
	to   netip.Addr // the host's address it spoke to
}

type client struct {
	key  clientKey
	up   *net.UDPConn
	addr netip.AddrPort // its backend
	oob  []byte         // makes the reply come from key.to
	last atomic.Int64   // unix nanoseconds of the last datagram either way
}

type datagram struct {
	key  clientKey
	data []byte
	at   time.Time
}

func (p *port) relay(s socket) {
	c, err := net.FilePacketConn(s.file)
	if err != nil {
		p.table.warn(err)
		return
	}
	r := &relay{p: p, conn: c.(*net.UDPConn), clients: map[clientKey]*client{}}
	r.buffers.New = func() any { return new([maxDatagram]byte) }
	p.udp = append(p.udp, r)
	p.table.work.Go(r.receive)
}

// close ends the relay and its clients.
func (r *relay) close() {
	r.conn.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.clients {
		c.up.Close()
	}
}

func (r *relay) receive() {
	raw, err := r.conn.SyscallConn()
	if err != nil {
		return
	}
	for {
		err := raw.Read(func(fd uintptr) bool {
			buf := r.buffers.Get().(*[maxDatagram]byte)
			defer r.buffers.Put(buf)
			var oob [128]byte
			n, on, _, from, err := unix.Recvmsg(int(fd), buf[:], oob[:], unix.MSG_DONTWAIT)
			if err == unix.EAGAIN {
				return false
			}
			if err == nil {
				r.handle(clientKey{from: addrOf(from), to: destination(oob[:on])}, buf[:n])
			}
			return true
		})
		if err != nil {
			return
		}
	}
}

func (r *relay) handle(key clientKey, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.clients[key]
	now := r.p.pick()
	if c != nil && !containsAddr(now.order, c.addr) {
		c.up.Close() // its backend is gone; its reader forgets it
		delete(r.clients, key)
		c = nil
	}
	if c == nil && len(now.order) == 0 {
		if !now.hold.Off {
			r.wait(datagram{key: key, data: append([]byte(nil), data...), at: time.Now()}, now)
		}
		return
	}
	if c == nil {
		if c = r.admit(key, now.order[0]); c == nil {
			return
		}
	}
	c.last.Store(time.Now().UnixNano())
	_, _ = c.up.Write(data)
}

func containsAddr(order []netip.AddrPort, a netip.AddrPort) bool {
	for _, o := range order {
		if o == a {
			return true
		}
	}
	return false
}

// wait keeps a datagram until there is a backend. Called with mu held.
func (r *relay) wait(d datagram, now choice) {
	if len(r.waiting) == udpWaiting {
		return
	}
	r.waiting = append(r.waiting, d)
	if len(r.waiting) > 1 {
		return
	}
	r.p.table.work.Go(func() {
		if !r.p.await(now.changed, now.hold.Timeout) {
			return
		}
		r.mu.Lock()
		late := r.waiting
		r.waiting = nil
		r.mu.Unlock()
		for _, d := range late {
			if time.Since(d.at) < now.hold.Timeout {
				r.handle(d.key, d.data)
			}
		}
	})
}

// admit gives a new client its socket. Called with mu held.
func (r *relay) admit(key clientKey, to netip.AddrPort) *client {
	if len(r.clients) >= udpClients || r.p.ctx.Err() != nil {
		return nil
	}
	up, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return nil
	}
	c := &client{key: key, up: up, addr: to, oob: replyFrom(key.to)}
	r.clients[key] = c
	r.p.table.work.Go(func() { r.reply(c) })
	return c
}

// reply carries a backend's datagrams to its client, until neither has spoken
// for a while.
func (r *relay) reply(c *client) {
	stop := context.AfterFunc(r.p.ctx, func() { c.up.Close() })
	defer stop()
	defer r.forget(c)
	raw, err := c.up.SyscallConn()
	if err != nil {
		return
	}
	for {
		last := time.Unix(0, c.last.Load())
		if idle := time.Since(last); idle >= udpIdle && c.last.Load() != 0 {
			return
		}
		_ = c.up.SetReadDeadline(time.Now().Add(udpIdle))
		err := raw.Read(func(fd uintptr) bool {
			buf := r.buffers.Get().(*[maxDatagram]byte)
			defer r.buffers.Put(buf)
			n, _, err := unix.Recvfrom(int(fd), buf[:], unix.MSG_DONTWAIT)
			if err == unix.EAGAIN {
				return false
			}
			if err == nil { // ECONNREFUSED: nobody listens there yet; the client tries again
				c.last.Store(time.Now().UnixNano())
				_, _, _ = r.conn.WriteMsgUDPAddrPort(buf[:n], c.oob, c.key.from)
			}
			return true
		})
		if ne, ok := err.(net.Error); err != nil && !(ok && ne.Timeout()) {
			return
		}
	}
}

func (r *relay) forget(c *client) {
	c.up.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clients[c.key] == c {
		delete(r.clients, c.key)
	}
}

func addrOf(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// destination reads the host's address out of a datagram's packet info.
func destination(oob []byte) netip.Addr {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.Addr{}
	}
	for _, m := range msgs {
		switch {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			return netip.AddrFrom4([4]byte(m.Data[8:12])) // ipi_addr
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			return netip.AddrFrom16([16]byte(m.Data[0:16]))
		}
	}
	return netip.Addr{}
}

// replyFrom is the control message that makes a datagram leave from a.
func replyFrom(a netip.Addr) []byte {
	switch {
	case a.Is4():
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: a.As4()})
	case a.Is6():
		return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: a.As16()})
	}
	return nil
}
