package network

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestApply(t *testing.T) {
	s := newStack(t, "aaaag1")
	sh(t, "ip link add busy type bridge; ip addr add 10.213.0.77/32 dev busy; ip link set busy up; ip route add 10.213.1.0/25 dev busy")
	t.Cleanup(func() { sh(t, "ip link del busy") })
	n := mustApply(t, s, Spec{Name: "open"})
	if got := n.Pools[0].Subnet.String(); got != "10.213.2.0/24" {
		t.Errorf("subnet %s is not the first that is free", got)
	}
	if again := mustApply(t, s, Spec{Name: "open", Labels: map[string]string{"a": "b"}}); again.Pools[0].Subnet != n.Pools[0].Subnet || again.Index != n.Index {
		t.Errorf("applied again: %+v", again)
	}
	own := Spec{Name: "own", Pools: []Pool{{
		Subnet: netip.MustParsePrefix("10.99.0.0/16"), Gateway: netip.MustParseAddr("10.99.255.254"), Range: netip.MustParsePrefix("10.99.7.0/24"),
	}}, Options: map[string]string{optionMTU: "1280"}}
	mustApply(t, s, own)
	if _, err := s.Apply(t.Context(), Spec{Name: "clash", Pools: []Pool{{Subnet: netip.MustParsePrefix("10.99.3.0/24")}}}); err == nil || !strings.Contains(err.Error(), "own") {
		t.Errorf("overlapping subnet: %v", err)
	}
	if _, err := s.Apply(t.Context(), Spec{Name: "lan", Driver: "macvlan"}); err == nil {
		t.Error("macvlan is accepted")
	}
	if _, err := s.Apply(t.Context(), Spec{Name: "../up"}); err == nil {
		t.Error("a name that is a path is accepted")
	}

	b, err := s.CreateSandbox(t.Context(), id(1), SandboxConfig{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.Attach(t.Context(), id(1), EndpointSpec{
		Network: "own", IPv4: netip.MustParseAddr("10.99.1.1"), MAC: "02:00:00:00:00:aa", IfName: "lan0",
	})
	if err != nil || e.IPv4.String() != "10.99.1.1/16" || e.MAC != "02:00:00:00:00:aa" {
		t.Fatalf("%+v, %v", e, err)
	}
	if out := within(t, b, "ip link show lan0"); !strings.Contains(out, "mtu 1280") || !strings.Contains(out, "02:00:00:00:00:aa") {
		t.Errorf("interface is %s", out)
	}
	if _, err := s.Attach(t.Context(), id(1), EndpointSpec{Network: "open", GWPriority: 1}); err != nil {
		t.Fatal(err)
	}
	if out := within(t, b, "ip route show default"); !strings.Contains(out, n.Gateway().String()) || strings.Count(out, "default") != 1 {
		t.Errorf("default route is %s", out)
	}
	if _, err := s.Attach(t.Context(), id(1), EndpointSpec{Network: "nowhere"}); !errors.Is(err, ErrNoNetwork) {
		t.Error(err)
	}

	own.Pools[0] = Pool{Subnet: netip.MustParsePrefix("10.98.0.0/24")}
	if _, err := s.Apply(t.Context(), own); !errors.Is(err, ErrInUse) {
		t.Errorf("other subnets under a container: %v", err)
	}
	if err := s.Remove(t.Context(), "own"); !errors.Is(err, ErrInUse) {
		t.Error(err)
	}
	if err := s.RemoveSandbox(t.Context(), id(1)); err != nil {
		t.Fatal(err)
	}
	moved := mustApply(t, s, own)
	link, err := net.InterfaceByName(moved.Bridge)
	if err != nil {
		t.Fatal(err)
	}
	if addrs, err := link.Addrs(); err != nil || len(addrs) != 1 || addrs[0].String() != "10.98.0.1/24" {
		t.Errorf("bridge has %v, %v", addrs, err)
	}
}
