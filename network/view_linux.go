package network

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"devstack/network/dns"
)

// routes chooses the default gateway of each family: the highest gw_priority,
// then the first network by name, as Docker does. Internal networks lead
// nowhere. Called with Stack.mu held.
func (s *Stack) routes(b *Sandbox) map[bool]netip.Addr {
	out := map[bool]netip.Addr{}
	best := slices.Clone(b.endpoints)
	slices.SortStableFunc(best, func(x, y endpointRecord) int {
		return cmp.Or(cmp.Compare(y.Spec.GWPriority, x.Spec.GWPriority), cmp.Compare(x.Endpoint.Network, y.Endpoint.Network))
	})
	for _, e := range best {
		n := s.nets[e.Endpoint.Network]
		if n == nil || n.Internal {
			continue
		}
		for _, p := range n.Pools {
			v6 := p.Gateway.Is6()
			has := e.Endpoint.IPv4
			if v6 {
				has = e.Endpoint.IPv6
			}
			if _, ok := out[v6]; !ok && has.IsValid() && p.Subnet.Contains(has.Addr()) {
				out[v6] = p.Gateway
			}
		}
	}
	return out
}

// hostGateway is where a sandbox reaches the host: its default gateway, or the
// gateway of an internal network.
func (s *Stack) hostGateway(b *Sandbox) netip.Addr {
	if gw, ok := b.route[false]; ok {
		return gw
	}
	for _, e := range b.endpoints {
		return e.Endpoint.Gateway
	}
	return b.route[true]
}

// view is what a sandbox's resolver answers from. Called with b.mu held or
// before b is shared.
func (s *Stack) view(b *Sandbox) *dns.View {
	v := &dns.View{Names: map[string][]netip.Addr{}}
	ends := slices.Clone(b.endpoints)
	slices.SortStableFunc(ends, func(x, y endpointRecord) int { return cmp.Compare(y.Spec.Priority, x.Spec.Priority) })
	for _, e := range ends {
		v.Networks = append(v.Networks, e.Endpoint.Network)
	}
	v.Closed = len(ends) > 0 && len(b.route) == 0
	host := s.hostGateway(b)
	if host.IsValid() {
		v.Names["host.docker.internal"] = []netip.Addr{host}
	}
	for name, addrs := range b.names {
		v.Names[strings.ToLower(name)] = addrs
	}
	for name, addrs := range b.cfg.ExtraHosts {
		var known []netip.Addr
		for _, a := range addrs {
			if !a.IsValid() {
				a = host
			}
			if a.IsValid() {
				known = append(known, a)
			}
		}
		v.Names[strings.ToLower(name)] = known
	}
	for _, a := range b.cfg.Nameservers {
		v.Upstream = append(v.Upstream, netip.AddrPortFrom(a, 53))
	}
	return v
}
