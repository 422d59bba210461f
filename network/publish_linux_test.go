package network

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"devstack/network/nettest"
)

func publishPort(t testing.TB, s *Stack, spec PublishSpec) Published {
	t.Helper()
	p, err := s.Publish(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Unpublish(spec.Key); err != nil {
			t.Error(err)
		}
	})
	return p
}

func at(p Published) string { return netip.AddrPortFrom(p.HostIP, p.HostPort).String() }

// reach makes one connection from this machine and says hello.
func reach(addr string) error {
	c, err := net.DialTimeout("tcp", addr, 2*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	return nettest.Roundtrip(c)
}

func TestPublishedPort(t *testing.T) {
	s := newStack(t, "aaaaa2")
	mustApply(t, s, Spec{Name: "shop_default"})
	b, ends := container(t, s, 1, "shop_default")
	serve(t, b, ":80")
	p := publishPort(t, s, PublishSpec{Key: "shop/web/80/tcp", HostIP: netip.MustParseAddr("127.0.0.1")})
	backend := netip.AddrPortFrom(ends[0].IPv4.Addr(), 80)
	s.SetBackends("shop/web/80/tcp", []netip.AddrPort{backend})
	if err := reach(at(p)); err != nil {
		t.Fatalf("by the proxy: %v", err)
	}
	if out := sh(t, "nft list ruleset"); !strings.Contains(out, "dnat ip to "+backend.String()) {
		t.Fatalf("no fast path:\n%s", out)
	}
	if err := reach(at(p)); err != nil {
		t.Fatalf("by the fast path: %v\n%s", err, sh(t, "nft list ruleset; ip r; cat /proc/net/nf_conntrack || true"))
	}
	s.SetBackends("shop/web/80/tcp", nil)
	if out := sh(t, "nft list ruleset"); strings.Contains(out, "dnat ip to") {
		t.Fatalf("the fast path is left:\n%s", out)
	}
	// A connection now waits for the next generation.
	done := make(chan error, 1)
	go func() { done <- reach(at(p)) }()
	for s.ports.Waiting() == 0 {
		select {
		case err := <-done:
			t.Fatalf("not held: %v", err)
		default:
		}
	}
	s.SetBackends("shop/web/80/tcp", []netip.AddrPort{backend})
	if err := <-done; err != nil {
		t.Fatalf("held connection: %v", err)
	}
}
