package network

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"devstack/network/netns"
)

// Drain waits, at most until ctx ends, for the requests that are under way to
// the servers of a sandbox at ports. Connections that come later do not count:
// who calls this has turned them away. How a request is told from an idle
// connection that is kept for the next one: see busy.
func (s *Stack) Drain(ctx context.Context, id string, ports []uint16) error {
	s.mu.Lock()
	b := s.sandboxes[id]
	s.mu.Unlock()
	if b == nil {
		return fmt.Errorf("drain sandbox %.12s: %w", id, ErrNoSandbox)
	}
	d, err := openDiag(b.path)
	if err != nil {
		return fmt.Errorf("drain sandbox %.12s: %w", id, err)
	}
	defer d.close()
	began := time.Now()
	var known map[uint64]bool
	for delay := time.Millisecond; ; delay = min(delay*3/2, maxDrainDelay) {
		conns, err := d.connections(ports)
		if err != nil {
			return fmt.Errorf("drain sandbox %.12s: %w", id, err)
		}
		// What was on its way when the way was closed may take a moment to arrive.
		if settling := time.Since(began) < settleTime; settling || known == nil {
			known = map[uint64]bool{}
			for _, c := range conns {
				known[c.cookie] = true
			}
		} else if !slices.ContainsFunc(conns, func(c connection) bool { return known[c.cookie] && c.busy() }) {
			return nil
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

const (
	maxDrainDelay = 10 * time.Millisecond
	settleTime    = time.Millisecond
)

// connection is one that a server has, or will have once it accepts it.
type connection struct {
	cookie   uint64
	accepted bool
	queued   bool   // bytes wait for the server to read, or to be sent to the client
	spoken   bool   // the client has sent something
	answered bool   // and the server, too
	received uint32 // milliseconds since the client spoke last
	sent     uint32 // milliseconds since the server did
}

const (
	// greeting is how long a client that has connected may take to say what it
	// wants, on a machine that is busy; browsers keep connections in store that
	// never say anything.
	greeting = 300
	// tick is how exact the kernel's times are.
	tick = 10
)

// busy reports whether a request is under way: the client spoke last.
func (c connection) busy() bool {
	switch {
	case !c.accepted || c.queued:
		return true
	case !c.spoken:
		return c.received < greeting
	}
	return !c.answered || c.received < c.sent || c.received == c.sent && c.received < tick
}

// diag asks the kernel about the TCP sockets of a namespace, see sock_diag(7).
type diag struct {
	fd  int
	buf []byte // of one answer
}

func openDiag(path string) (d diag, err error) {
	d.buf = make([]byte, 64<<10)
	err = netns.Do(path, func() error {
		d.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
		return err
	})
	return d, err
}

func (d diag) close() { unix.Close(d.fd) }

const (
	diagRequestSize = 56 // struct inet_diag_req_v2
	diagMessageSize = 72 // struct inet_diag_msg
	diagInfo        = 2  // INET_DIAG_INFO: struct tcp_info
	// established, syn_recv and close_wait; see include/net/tcp_states.h
	diagStates = 1<<1 | 1<<3 | 1<<8
)

// connections are those to one of the namespace's own ports.
func (d diag) connections(ports []uint16) ([]connection, error) {
	var out []connection
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		req := make([]byte, unix.SizeofNlMsghdr+diagRequestSize)
		ne := binary.NativeEndian
		ne.PutUint32(req[0:], uint32(len(req)))
		ne.PutUint16(req[4:], unix.SOCK_DIAG_BY_FAMILY)
		ne.PutUint16(req[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
		body := req[unix.SizeofNlMsghdr:]
		body[0], body[1], body[2] = family, unix.IPPROTO_TCP, 1<<(diagInfo-1)
		ne.PutUint32(body[4:], diagStates)
		if err := unix.Sendto(d.fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return nil, err
		}
		found, err := d.read(ports)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// read takes the answer to one request.
func (d diag) read(ports []uint16) ([]connection, error) {
	var out []connection
	ne := binary.NativeEndian
	for {
		n, _, err := unix.Recvfrom(d.fd, d.buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		for msgs := d.buf[:n]; len(msgs) >= unix.SizeofNlMsghdr; {
			size, kind := int(ne.Uint32(msgs)), ne.Uint16(msgs[4:])
			if size < unix.SizeofNlMsghdr || size > len(msgs) {
				return nil, fmt.Errorf("netlink message of %d bytes", size)
			}
			body := msgs[unix.SizeofNlMsghdr:size]
			msgs = msgs[min((size+3)&^3, len(msgs)):]
			switch {
			case kind == unix.NLMSG_DONE:
				return out, nil
			case kind == unix.NLMSG_ERROR && len(body) >= 4:
				return nil, unix.Errno(-int32(ne.Uint32(body)))
			case len(body) < diagMessageSize || !slices.Contains(ports, binary.BigEndian.Uint16(body[4:])):
				continue
			}
			out = append(out, parseConnection(body))
		}
	}
}

// parseConnection reads struct inet_diag_msg and the tcp_info after it.
func parseConnection(body []byte) connection {
	ne := binary.NativeEndian
	c := connection{
		cookie:   ne.Uint64(body[44:]),
		queued:   ne.Uint32(body[56:]) != 0,
		accepted: ne.Uint32(body[68:]) != 0,
	}
	for attrs := body[diagMessageSize:]; len(attrs) >= 4; {
		size := int(ne.Uint16(attrs))
		if size < 4 || size > len(attrs) {
			break
		}
		if info := attrs[4:size]; ne.Uint16(attrs[2:]) == diagInfo && len(info) >= 160 {
			c.sent, c.received = ne.Uint32(info[44:]), ne.Uint32(info[52:])
			// Bytes that were sent and not confirmed are with the client already,
			// which may take its time to say so.
			c.queued = c.queued || ne.Uint32(info[144:]) != 0
			c.spoken, c.answered = ne.Uint64(info[128:]) > 0, ne.Uint32(info[156:]) > 0
		}
		attrs = attrs[min((size+3)&^3, len(attrs)):]
	}
	return c
}
