package publish

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"devstack/network/nat"
)

const (
	backlog   = 4096             // connections the kernel queues for a port
	maxHeld   = 1024             // connections that wait at a time; more stay in the backlog
	holdTime  = 30 * time.Second // how long one waits for a backend
	startTime = 10 * time.Second // how long a new backend may refuse before that is its answer
)

// port is a published port.
type port struct {
	table *Table
	spec  Spec
	at    netip.AddrPort // of the first socket
	socks []socket
	ctx   context.Context // ends with Unpublish
	stop  context.CancelFunc
	udp   []*relay

	mu       sync.Mutex
	backends []backend
	next     int
	since    time.Time     // of the last change
	changed  chan struct{} // closed with the next change
}

type backend struct {
	addr  netip.AddrPort
	heard bool // it has accepted a connection
}

func newPort(t *Table, s Spec, socks []socket) *port {
	p := &port{table: t, spec: s, at: socks[0].at, socks: socks, changed: make(chan struct{})}
	p.ctx, p.stop = context.WithCancel(t.ctx)
	return p
}

func (p *port) run() {
	for _, s := range p.socks {
		if p.spec.Proto == "udp" {
			p.relay(s)
		} else {
			p.listen(s)
		}
	}
}

// serves reports whether the port, as it is open, is what s asks for.
func (p *port) serves(s Spec) bool {
	return s.Proto == p.spec.Proto && s.wants(p.at)
}

// setBackends reports whether anything changed. A backend that stays keeps what
// is known of it; one of earlier, an engine before this one has heard.
func (p *port) setBackends(to []netip.AddrPort, earlier map[netip.AddrPort]bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := make([]backend, 0, len(to))
	for _, a := range to {
		b := backend{addr: a, heard: p.spec.Proto == "udp" || earlier[a]}
		if i := slices.IndexFunc(p.backends, func(x backend) bool { return x.addr == a }); i >= 0 {
			b = p.backends[i]
		}
		next = append(next, b)
	}
	if slices.EqualFunc(p.backends, next, func(a, b backend) bool { return a.addr == b.addr }) {
		return false
	}
	p.backends, p.since = next, time.Now()
	close(p.changed)
	p.changed = make(chan struct{})
	return true
}

// pick returns the backends in the order in which to try them for the next
// connection, when they were set, and what tells of a change.
func (p *port) pick() (order []netip.AddrPort, since time.Time, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.backends {
		order = append(order, p.backends[(p.next+i)%len(p.backends)].addr)
	}
	p.next++
	return order, p.since, p.changed
}

// accepted notes that a backend took a connection. When the last one did, the
// port becomes fast.
func (p *port) accepted(a netip.AddrPort) {
	p.mu.Lock()
	news := false
	for i := range p.backends {
		if p.backends[i].addr == a && !p.backends[i].heard {
			p.backends[i].heard, news = true, true
		}
	}
	p.mu.Unlock()
	if news {
		p.table.state()
	}
}

// fast is what the rules should do for the port.
func (p *port) fast() []nat.Port {
	p.mu.Lock()
	defer p.mu.Unlock()
	var to []netip.AddrPort
	for _, b := range p.backends {
		if !b.heard || !b.addr.Addr().Is4() {
			return nil
		}
		to = append(to, b.addr)
	}
	if len(to) == 0 {
		return nil
	}
	var out []nat.Port
	for _, s := range p.socks {
		// IPv6 has no route_localnet: ::1 is the proxy's.
		if s.at.Addr().Is4() {
			out = append(out, nat.Port{Addr: s.at, Proto: p.spec.Proto, Backends: to, Outside: !s.at.Addr().IsLoopback()})
		}
	}
	return out
}

// close closes the sockets, which a Keeper may hold open.
func (p *port) close() {
	p.stop()
	for _, s := range p.socks {
		s.file.Close()
	}
	for _, r := range p.udp {
		r.close()
	}
}

// shut ends listening for good, also in duplicates.
func (p *port) shut() {
	if p.spec.Proto == "tcp" {
		for _, s := range p.socks {
			if raw, err := s.file.SyscallConn(); err == nil {
				_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) })
			}
		}
	}
	p.close()
}
