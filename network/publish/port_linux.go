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

// backlog is how many connections the kernel queues for a port.
const backlog = 4096

// port is a published port.
type port struct {
	table *Table
	spec  Spec
	at    netip.AddrPort // of the first socket
	socks []socket
	ctx   context.Context // ends with Unpublish
	stop  context.CancelFunc
	udp   []*relay

	held    chan struct{} // a slot for each connection that waits
	probing chan struct{} // one slot: who finds out whether a new backend listens

	mu       sync.Mutex
	hold     Hold
	backends []backend
	next     int
	turn     uint64        // counts the changes
	since    time.Time     // of the last change
	changed  chan struct{} // closed with the next change
}

type backend struct {
	addr  netip.AddrPort
	heard bool // it has accepted a connection
}

func newPort(t *Table, s Spec, socks []socket) *port {
	p := &port{
		table: t, spec: s, at: socks[0].at, socks: socks, changed: make(chan struct{}), hold: s.Hold,
		held: make(chan struct{}, s.Hold.Connections), probing: make(chan struct{}, 1),
	}
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
	p.turn++
	close(p.changed)
	p.changed = make(chan struct{})
	return true
}

// choice is what a connection can do just now.
type choice struct {
	order   []netip.AddrPort // backends, in the order in which to try them
	proven  bool             // one of them has taken a connection
	turn    uint64           // which setting of the backends this is
	since   time.Time        // when they were set
	changed <-chan struct{}  // closed when any of this changes
	hold    Hold
}

func (p *port) pick() choice {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := choice{turn: p.turn, since: p.since, changed: p.changed, hold: p.hold}
	for i := range p.backends {
		b := p.backends[(p.next+i)%len(p.backends)]
		c.order, c.proven = append(c.order, b.addr), c.proven || b.heard
	}
	p.next++
	return c
}

// accepted notes that a backend of turn took a connection, and wakes those who
// waited for it to listen. When the last one did, the port becomes fast. false:
// that turn is over.
func (p *port) accepted(a netip.AddrPort, turn uint64) bool {
	p.mu.Lock()
	if turn != p.turn {
		p.mu.Unlock()
		return false
	}
	news := false
	for i := range p.backends {
		if p.backends[i].addr == a && !p.backends[i].heard {
			p.backends[i].heard, news = true, true
		}
	}
	if news {
		close(p.changed)
		p.changed = make(chan struct{})
	}
	p.mu.Unlock()
	if news {
		p.table.state()
	}
	return true
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
