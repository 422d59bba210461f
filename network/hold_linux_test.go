package network

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A process needs time to listen after its container was started: the proxy
// waits for it, where a rule would let the kernel refuse.
func TestBackendThatDoesNotListenYet(t *testing.T) {
	s := newStack(t, "aaaae1")
	mustApply(t, s, Spec{Name: "open"})
	b, ends := container(t, s, 1, "open")
	p := publishPort(t, s, PublishSpec{Key: "shop/web/80", HostIP: netip.MustParseAddr("127.0.0.1")})
	s.SetBackends("shop/web/80", []netip.AddrPort{netip.AddrPortFrom(ends[0].IPv4.Addr(), 80)})
	done := make(chan error, 1)
	go func() { done <- reach(at(p)) }()
	for s.ports.Waiting() == 0 {
		pause()
	}
	serve(t, b, ":80")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The proxy carries each end's close on its own, and a broken end as broken.
func TestProxyHalfClose(t *testing.T) {
	s := newStack(t, "aaaae2")
	mustApply(t, s, Spec{Name: "open"})
	b, ends := container(t, s, 1, "open")
	var l net.Listener
	inside(t, b, func() (err error) {
		l, err = net.Listen("tcp", ":80")
		return err
	})
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		all, _ := io.ReadAll(c) // until the client has closed its half
		c.Write(append([]byte("got "), all...))
		c.Close()
		if c, err = l.Accept(); err == nil {
			c.Read(all[:1])
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	}()
	p := publishPort(t, s, PublishSpec{Key: "shop/web/80", HostIP: netip.IPv6Loopback()})
	s.SetBackends("shop/web/80", []netip.AddrPort{netip.AddrPortFrom(ends[0].IPv4.Addr(), 80)})
	dial := func() *net.TCPConn {
		c, err := net.Dial("tcp", at(p))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(5 * time.Second))
		return c.(*net.TCPConn)
	}
	c := dial()
	io.WriteString(c, "question")
	c.CloseWrite()
	if answer, err := io.ReadAll(c); err != nil || string(answer) != "got question" {
		t.Errorf("%q, %v", answer, err)
	}
	c = dial()
	io.WriteString(c, "x")
	if _, err := io.ReadAll(c); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("a reset became %v", err)
	}
}

func TestUnpublishDropsWhoWaits(t *testing.T) {
	s := newStack(t, "aaaae3")
	p, err := s.Publish(t.Context(), PublishSpec{Key: "shop/web/80"})
	if err != nil {
		t.Fatal(err)
	}
	if p.HostIP.String() != "127.0.0.1" || !p.New {
		t.Errorf("published %+v", p)
	}
	again, err := s.Publish(t.Context(), PublishSpec{Key: "shop/web/80"})
	if err != nil || again.New || again.HostPort != p.HostPort {
		t.Errorf("again %+v, %v", again, err)
	}
	for _, addr := range []string{at(p), "[::1]:" + itoa(int(p.HostPort))} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for s.ports.Waiting() < 2 {
		pause()
	}
	if err := s.Unpublish("shop/web/80"); err != nil {
		t.Error(err)
	}
	for s.ports.Waiting() > 0 {
		pause()
	}
	if err := reach(at(p)); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("after Unpublish: %v", err)
	}
}

// A connection made before a backend goes lives on; the ones after it wait.
func TestReloadDropsNothing(t *testing.T) {
	s := newStack(t, "aaaae4")
	mustApply(t, s, Spec{Name: "open"})
	key := "shop/web/80"
	p := publishPort(t, s, PublishSpec{Key: key, HostIP: netip.MustParseAddr("127.0.0.1")})
	stop, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(failed)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := reach(at(p)); err != nil {
				failed <- err
				return
			}
		}
	}()
	for generation := range 4 {
		b, ends := container(t, s, generation, "open")
		serve(t, b, ":80")
		s.SetBackends(key, []netip.AddrPort{netip.AddrPortFrom(ends[0].IPv4.Addr(), 80)})
		for range 20 {
			if err := reach(at(p)); err != nil {
				t.Fatal(err)
			}
		}
		s.SetBackends(key, nil)
	}
	b, ends := container(t, s, 9, "open")
	serve(t, b, ":80")
	s.SetBackends(key, []netip.AddrPort{netip.AddrPortFrom(ends[0].IPv4.Addr(), 80)})
	close(stop)
	if err := <-failed; err != nil {
		t.Errorf("a client noticed: %v", err)
	}
}
