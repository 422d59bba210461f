package network

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// upstream is a resolver that answers every A query with one address and
// counts nothing else.
func upstream(t testing.TB, addr string) {
	t.Helper()
	c, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	reply := func(msg []byte) []byte {
		var m dnsmessage.Message
		if m.Unpack(msg) != nil {
			return nil
		}
		m.Response = true
		if strings.HasPrefix(m.Questions[0].Name.String(), "nowhere") {
			m.RCode = dnsmessage.RCodeNameError
		} else if m.Questions[0].Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 60},
				Body:   &dnsmessage.AResource{A: [4]byte{203, 0, 113, 7}},
			}}
		}
		out, _ := m.Pack()
		return out
	}
	done := make(chan struct{}, 2)
	go func() {
		defer func() { done <- struct{}{} }()
		buf := make([]byte, 4096)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			c.WriteTo(reply(buf[:n]), from)
		}
	}()
	go func() {
		defer func() { done <- struct{}{} }()
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 4096)
			n, _ := conn.Read(buf)
			for n < 2 || n < 2+int(buf[0])<<8+int(buf[1]) {
				more, err := conn.Read(buf[n:])
				if err != nil {
					break
				}
				n += more
			}
			out := reply(buf[2:n])
			conn.Write(append([]byte{byte(len(out) >> 8), byte(len(out))}, out...))
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		c.Close()
		l.Close()
		<-done
		<-done
	})
}

func TestNames(t *testing.T) {
	upstream(t, "127.0.0.53:53")
	upstream(t, "127.0.0.54:53")
	resolv := t.TempDir() + "/resolv.conf"
	if err := os.WriteFile(resolv, []byte("search corp.example\nnameserver 127.0.0.53\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(resolv, "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount("/etc/resolv.conf", 0) })

	s := newStack(t, "aaaad1")
	front := mustApply(t, s, Spec{Name: "shop_front"})
	mustApply(t, s, Spec{Name: "shop_back", Internal: true})
	a, _ := container(t, s, 1, "shop_front")
	_, db := container(t, s, 2, "shop_back")
	inner, _ := container(t, s, 3, "shop_back")
	lonely, _ := container(t, s, 4)
	web := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::1")}
	s.SetNames("shop_front", map[string][]netip.Addr{"Web": web, "shop-web-1": web[:1], "web1": web[:1]})
	s.SetNames("shop_back", map[string][]netip.Addr{"db": {db[0].IPv4.Addr()}})
	s.SetSandboxNames(id(1), map[string][]netip.Addr{"cache": {netip.MustParseAddr("10.0.0.9")}})
	special, err := s.CreateSandbox(t.Context(), id(5), SandboxConfig{
		Nameservers: []netip.Addr{netip.MustParseAddr("127.0.0.54")}, Search: []string{"example.test"},
		Options: []string{"ndots:2"}, ExtraHosts: map[string][]netip.Addr{"box": {netip.Addr{}}, "fix": {netip.MustParseAddr("192.0.2.9")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Attach(t.Context(), id(5), EndpointSpec{Network: "shop_front"}); err != nil {
		t.Fatal(err)
	}

	A, AAAA, PTR, MX := dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypePTR, dnsmessage.TypeMX
	gw := front.Gateway().String()
	for _, q := range []struct {
		from *Sandbox
		name string
		kind dnsmessage.Type
		want string
	}{
		{a, "web", A, "10.0.0.1 10.0.0.2"},
		{a, "WEB", A, "10.0.0.1 10.0.0.2"},
		{a, "web", AAAA, "fd00::1"},
		{a, "web.shop_front", A, "10.0.0.1 10.0.0.2"},
		{a, "shop-web-1", AAAA, ""}, // known, and no such record
		{a, "web", MX, ""},
		{a, "1.0.0.10.in-addr.arpa", PTR, "shop-web-1.shop_front."},
		{a, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", PTR, "web.shop_front."},
		{a, "db", A, "203.0.113.7"}, // not on that network: unknown, forwarded
		{a, "cache", A, "10.0.0.9"},
		{a, "example.com", A, "203.0.113.7"},
		{a, "nowhere.example", A, "RCodeNameError"},
		{a, "host.docker.internal", A, gw},
		{inner, "db", A, db[0].IPv4.Addr().String()},
		{inner, "example.com", A, "RCodeNameError"}, // no way out for names either
		{lonely, "example.com", A, "203.0.113.7"},
		{special, "example.com", A, "203.0.113.7"},
		{special, "box", A, gw},
		{special, "fix", A, "192.0.2.9"},
	} {
		for _, network := range []string{"udp", "tcp"} {
			got := lookup(t, q.from, network, q.name, q.kind)
			slices.Sort(got)
			if strings.Join(got, " ") != q.want {
				t.Errorf("%s %s over %s is %v, want %s", q.name, q.kind, network, got, q.want)
			}
		}
	}
	first := map[string]bool{}
	for range 4 {
		first[lookup(t, a, "udp", "web", A)[0]] = true
	}
	if len(first) != 2 {
		t.Errorf("web always begins with %v", first)
	}
	if got := string(special.ResolvConf()); got != "nameserver 127.0.0.11\nsearch example.test\noptions ndots:2\n" {
		t.Errorf("resolv.conf is %q", got)
	}
	if got := string(a.ResolvConf()); got != "nameserver 127.0.0.11\noptions ndots:0\n" {
		t.Errorf("resolv.conf is %q", got)
	}
}

// A container that serves DNS itself keeps its resolver.
func TestContainerBindsPort53(t *testing.T) {
	s := newStack(t, "aaaad2")
	mustApply(t, s, Spec{Name: "open"})
	a, ends := container(t, s, 1, "open")
	s.SetNames("open", map[string][]netip.Addr{"me": {ends[0].IPv4.Addr()}})
	inside(t, a, func() error {
		c, err := net.ListenPacket("udp", "0.0.0.0:53")
		if err != nil {
			return err
		}
		t.Cleanup(func() { c.Close() })
		l, err := net.Listen("tcp", "0.0.0.0:53")
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		return nil
	})
	for _, network := range []string{"udp", "tcp"} {
		if got := lookup(t, a, network, "me", dnsmessage.TypeA); len(got) != 1 || got[0] != ends[0].IPv4.Addr().String() {
			t.Errorf("me over %s is %v", network, got)
		}
	}
}
