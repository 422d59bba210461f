package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

const (
	maxForward = 512 // queries upstream at a time
	maxTCP     = 128 // TCP clients at a time
	tcpIdle    = 10 * time.Second
)

// Server answers for all sandboxes.
type Server struct {
	host  *Host
	epoll *os.File

	zones atomic.Pointer[map[string]*Zone]
	turn  atomic.Uint32

	mu      sync.Mutex // guards what follows; held while a socket is read
	members map[string]*member
	byFD    map[int32]*member
	closed  bool

	ctx     context.Context // of queries under way; ends with Close
	cancel  context.CancelFunc
	work    sync.WaitGroup
	forward chan struct{}
	tcp     chan struct{}
}

type member struct {
	sockets Sockets
	view    *View
}

// Open starts a server with no sandboxes.
func Open(host *Host) (*Server, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // an epoll set can be polled itself
		unix.Close(fd)
		return nil, os.NewSyscallError("set non-blocking", err)
	}
	s := &Server{
		host: host, epoll: os.NewFile(uintptr(fd), "dns epoll"),
		members: map[string]*member{}, byFD: map[int32]*member{},
		forward: make(chan struct{}, maxForward), tcp: make(chan struct{}, maxTCP),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.zones.Store(&map[string]*Zone{})
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		s.loop()
	}()
	return s, nil
}

// Close ends the server and all its sockets.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for _, m := range s.members {
		m.sockets.Close()
	}
	clear(s.members)
	clear(s.byFD)
	s.mu.Unlock()
	s.cancel()
	s.epoll.Close()
	s.work.Wait()
}

// Add answers for a sandbox from now on. The server owns the sockets.
func (s *Server) Add(id string, sockets Sockets, v *View) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return os.ErrClosed
	}
	m := &member{sockets: sockets, view: v}
	for _, fd := range []int{sockets.UDP, sockets.TCP} {
		if err := s.watch(fd); err != nil {
			return fmt.Errorf("watch resolver's socket: %w", err)
		}
		s.byFD[int32(fd)] = m
	}
	s.members[id] = m
	return nil
}

func (s *Server) watch(fd int) error {
	raw, err := s.epoll.SyscallConn()
	if err != nil {
		return err
	}
	var ctl error
	err = raw.Control(func(ep uintptr) {
		ctl = unix.EpollCtl(int(ep), unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	})
	return errors.Join(err, ctl)
}

// SetView changes what a sandbox sees.
func (s *Server) SetView(id string, v *View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.members[id]; m != nil {
		m.view = v
	}
}

// Remove stops answering for a sandbox and closes its sockets.
func (s *Server) Remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.members[id]
	if m == nil {
		return
	}
	delete(s.members, id)
	delete(s.byFD, int32(m.sockets.UDP))
	delete(s.byFD, int32(m.sockets.TCP))
	m.sockets.Close() // leaves the epoll set by itself
}

// SetNames states all names of a network; nil forgets the network.
func (s *Server) SetNames(network string, names map[string][]netip.Addr) {
	var z *Zone
	if names != nil {
		z = NewZone(network, names)
	}
	for {
		old := s.zones.Load()
		next := make(map[string]*Zone, len(*old)+1)
		for k, v := range *old {
			next[k] = v
		}
		if z == nil {
			delete(next, network)
		} else {
			next[network] = z
		}
		if s.zones.CompareAndSwap(old, &next) {
			return
		}
	}
}

// loop waits for the epoll set in the runtime's poller: no thread is blocked.
func (s *Server) loop() {
	raw, err := s.epoll.SyscallConn()
	if err != nil {
		return
	}
	var (
		events [64]unix.EpollEvent
		in     [maxUDP]byte
		out    [maxUDP]byte
	)
	for {
		var n int
		err := raw.Read(func(ep uintptr) bool {
			n, _ = unix.EpollWait(int(ep), events[:], 0)
			return n > 0
		})
		if err != nil {
			return // closed
		}
		for _, e := range events[:n] {
			s.ready(e.Fd, in[:], out[:])
		}
	}
}

func (s *Server) ready(fd int32, in, out []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.byFD[fd]
	if m == nil {
		return // removed meanwhile
	}
	if fd == int32(m.sockets.TCP) {
		s.accept(m, int(fd))
		return
	}
	for range 16 { // then the others' turn
		n, from, err := unix.Recvfrom(int(fd), in, unix.MSG_DONTWAIT)
		if err != nil {
			return
		}
		reply, upstream := s.handle(m.view, in[:n], out, false)
		if upstream != nil {
			s.pass(m, from, *upstream)
			continue
		}
		if reply != nil {
			_ = unix.Sendto(int(fd), reply, unix.MSG_DONTWAIT, from)
		}
	}
}

// errand is a query to be asked upstream.
type errand struct {
	q       query
	msg     []byte
	servers []netip.AddrPort
}

// handle answers a query, or returns what to ask upstream.
func (s *Server) handle(v *View, msg, buf []byte, tcp bool) ([]byte, *errand) {
	q, rcode, ok := parse(msg)
	if tcp {
		q.size = 0xffff
	}
	if !ok {
		return nil, nil
	}
	if rcode != dnsmessage.RCodeSuccess {
		return failure(q, rcode, buf), nil
	}
	if reply, ours := answer(v, *s.zones.Load(), q, s.turn.Add(1), buf); ours {
		return truncate(q, reply), nil
	}
	if v.Closed {
		// A network without a way out has none for names either (CVE-2024-29018).
		return failure(q, dnsmessage.RCodeNameError, buf), nil
	}
	servers := v.Upstream
	if len(servers) == 0 {
		servers = s.host.Servers()
	}
	if len(servers) == 0 {
		return failure(q, dnsmessage.RCodeServerFailure, buf), nil
	}
	return nil, &errand{q: q, msg: append([]byte(nil), msg...), servers: servers}
}

// pass asks upstream and sends the reply on. Called with mu held.
func (s *Server) pass(m *member, client unix.Sockaddr, e errand) {
	select {
	case s.forward <- struct{}{}:
	default:
		return // flooded; the client asks again
	}
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		defer func() { <-s.forward }()
		reply, err := forward(s.ctx, "udp", e.servers, e.msg)
		if err != nil {
			reply = failure(e.q, dnsmessage.RCodeServerFailure, nil)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if fd := int32(m.sockets.UDP); s.byFD[fd] == m {
			_ = unix.Sendto(int(fd), reply, unix.MSG_DONTWAIT, client)
		}
	}()
}

// accept takes TCP clients in. Called with mu held.
func (s *Server) accept(m *member, fd int) {
	for range 16 {
		c, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		f := os.NewFile(uintptr(c), "dns client")
		conn, err := net.FileConn(f)
		f.Close()
		if err != nil {
			continue
		}
		select {
		case s.tcp <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		s.work.Add(1)
		go func() {
			defer s.work.Done()
			defer func() { <-s.tcp }()
			s.serveTCP(m, conn)
		}()
	}
}

func (s *Server) serveTCP(m *member, c net.Conn) {
	defer c.Close()
	stop := context.AfterFunc(s.ctx, func() { c.Close() })
	defer stop()
	for {
		c.SetDeadline(time.Now().Add(tcpIdle))
		msg, err := readTCP(c)
		if err != nil {
			return
		}
		s.mu.Lock()
		v := m.view
		s.mu.Unlock()
		reply, upstream := s.handle(v, msg, nil, true)
		if upstream != nil {
			if reply, err = forward(s.ctx, "tcp", upstream.servers, upstream.msg); err != nil {
				reply = failure(upstream.q, dnsmessage.RCodeServerFailure, nil)
			}
		}
		if reply == nil || writeTCP(c, reply) != nil {
			return
		}
	}
}
