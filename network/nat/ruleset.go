package nat

import (
	"net/netip"
	"slices"
)

// Network is what the rules need to know of a network.
type Network struct {
	Bridge     string
	Subnets    []netip.Prefix
	Internal   bool // no way in or out
	Isolated   bool // containers cannot talk to each other either (enable_icc=false)
	Masquerade bool // outbound traffic takes the host's address
}

// Port is a published port with live backends.
type Port struct {
	Addr     netip.AddrPort // an unspecified address means every address of the machine
	Proto    string         // "tcp" or "udp"
	Backends []netip.AddrPort
	Outside  bool // connections from other machines too
}

func (n Network) equal(o Network) bool {
	return n.Bridge == o.Bridge && n.Internal == o.Internal && n.Isolated == o.Isolated &&
		n.Masquerade == o.Masquerade && slices.Equal(n.Subnets, o.Subnets)
}

func (p Port) equal(o Port) bool {
	return p.Addr == o.Addr && p.Proto == o.Proto && p.Outside == o.Outside && slices.Equal(p.Backends, o.Backends)
}
