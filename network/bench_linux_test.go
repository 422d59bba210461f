package network

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"

	"devstack/network/nettest"
)

func BenchmarkSandboxAttach(b *testing.B) {
	s := newStack(b, "bbbbb1")
	mustApply(b, s, Spec{Name: "bench_default", Pools: []Pool{{Subnet: netip.MustParsePrefix("10.250.0.0/16")}}})
	n := 0
	for b.Loop() {
		n++
		container(b, s, n, "bench_default")
	}
}

func BenchmarkSandbox(b *testing.B) {
	s := newStack(b, "bbbbb2")
	n := 0
	for b.Loop() {
		n++
		container(b, s, n)
	}
}

func BenchmarkApplyRemove(b *testing.B) {
	s := newStack(b, "bbbbb3")
	for b.Loop() {
		mustApply(b, s, Spec{Name: "bench_default"})
		if err := s.Remove(b.Context(), "bench_default"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkApplyAgain(b *testing.B) {
	s := newStack(b, "bbbbb4")
	for b.Loop() {
		mustApply(b, s, Spec{Name: "bench_default"})
	}
}

func BenchmarkRemoveSandbox20(b *testing.B) {
	s := newStack(b, "bbbbb5")
	mustApply(b, s, Spec{Name: "bench_default"})
	for b.Loop() {
		b.StopTimer()
		for i := range 20 {
			container(b, s, i, "bench_default")
		}
		b.StartTimer()
		done := make(chan error)
		for i := range 20 {
			go func() { done <- s.RemoveSandbox(b.Context(), id(i)) }()
		}
		for range 20 {
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkPort compares ways to one container: its own address, the published
// port by the fast path, and by the proxy.
func BenchmarkPort(b *testing.B) {
	s := newStack(b, "bbbbb6")
	mustApply(b, s, Spec{Name: "bench_default"})
	box, ends := container(b, s, 1, "bench_default")
	serve(b, box, ":80")
	sink(b, box, ":81")
	ways := map[string][2]string{"direct": {ends[0].IPv4.Addr().String() + ":80", ends[0].IPv4.Addr().String() + ":81"}}
	for _, way := range []string{"fast", "proxy"} {
		var to [2]string
		for i, n := range []uint16{80, 81} {
			spec := PublishSpec{Key: fmt.Sprintf("bench/%s/%d", way, n), HostIP: netip.MustParseAddr("127.0.0.1")}
			if way == "proxy" {
				spec.HostIP = netip.IPv6Loopback()
			}
			p := publishPort(b, s, spec)
			s.SetBackends(spec.Key, []netip.AddrPort{netip.AddrPortFrom(ends[0].IPv4.Addr(), n)})
			to[i] = at(p)
			c, err := net.Dial("tcp", to[i])
			if err != nil {
				b.Fatal(err)
			}
			if n == 80 {
				err = nettest.Roundtrip(c)
			} else {
				_, err = drain(c, 1)
			}
			c.Close()
			if err != nil {
				b.Fatal(err)
			}
		}
		ways[way] = to
	}
	for _, way := range []string{"direct", "fast", "proxy"} {
		b.Run("connect-echo/"+way, func(b *testing.B) {
			for b.Loop() {
				if err := reach(ways[way][0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, way := range []string{"direct", "fast", "proxy"} {
		b.Run("throughput/"+way, func(b *testing.B) {
			const size = 64 << 20
			b.SetBytes(size)
			for b.Loop() {
				c, err := net.Dial("tcp", ways[way][1])
				if err != nil {
					b.Fatal(err)
				}
				if _, err := drain(c, size); err != nil {
					b.Fatal(err)
				}
				c.Close()
			}
		})
	}
}

// sink swallows what it is sent and answers with one byte at the end.
func sink(t testing.TB, b *Sandbox, addr string) {
	var l net.Listener
	inside(t, b, func() (err error) {
		l, err = net.Listen("tcp", addr)
		return err
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 256<<10)
			for err == nil {
				_, err = c.Read(buf)
			}
			c.Write(buf[:1])
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close() })
}

func drain(c net.Conn, size int) (int, error) {
	buf := make([]byte, min(size, 256<<10))
	for left := size; left > 0; {
		n, err := c.Write(buf[:min(left, len(buf))])
		if err != nil {
			return 0, err
		}
		left -= n
	}
	c.(*net.TCPConn).CloseWrite()
	return io.ReadFull(c, buf[:1])
}
