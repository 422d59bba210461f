package ipam

import (
	"encoding/binary"
	"net/netip"
)

// Pool is a subnet as a project declares it. Only Subnet is required.
type Pool struct {
	Subnet  netip.Prefix          `json:"subnet"`
	Gateway netip.Addr            `json:"gateway,omitzero"` // default: the first address
	Range   netip.Prefix          `json:"range,omitzero"`   // where addresses are chosen from; default: Subnet
	Aux     map[string]netip.Addr `json:"aux,omitempty"`    // addresses to leave alone
}

// Candidates returns where free IPv4 subnets are looked for, best first. They
// keep clear of what other tools hand out by default (Docker 172.17-31 and
// 192.168, podman 10.88-89, libvirt 192.168.122, LXD and VPNs 10.0-10.10).
func Candidates() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("10.213.0.0/16"),
		netip.MustParsePrefix("10.214.0.0/16"),
		netip.MustParsePrefix("172.16.0.0/16"),
		netip.MustParsePrefix("192.168.192.0/18"),
	}
}

// Free returns the first subnet of the given length inside candidates that
// overlaps nothing in taken.
func Free(candidates []netip.Prefix, bits int, taken []netip.Prefix) (netip.Prefix, bool) {
	for _, c := range candidates {
		for p := netip.PrefixFrom(c.Addr(), bits); p.IsValid() && c.Contains(p.Addr()); p = next(p) {
			if !overlapsAny(p, taken) {
				return p, true
			}
		}
	}
	return netip.Prefix{}, false
}

// UniqueLocal derives an IPv6 /64 from a seed (RFC 4193): the same network
// gets the same one on the same machine.
func UniqueLocal(seed [8]byte) netip.Prefix {
	var a [16]byte
	a[0] = 0xfd
	copy(a[1:8], seed[:7])
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

func overlapsAny(p netip.Prefix, taken []netip.Prefix) bool {
	for _, t := range taken {
		if p.Overlaps(t) {
			return true
		}
	}
	return false
}

// next is the neighbouring IPv4 subnet; the zero Prefix after the last.
func next(p netip.Prefix) netip.Prefix {
	b := p.Addr().As4()
	v := uint64(binary.BigEndian.Uint32(b[:])) + 1<<(32-p.Bits())
	if v > 0xffffffff {
		return netip.Prefix{}
	}
	binary.BigEndian.PutUint32(b[:], uint32(v))
	return netip.PrefixFrom(netip.AddrFrom4(b), p.Bits())
}

// Last returns the highest address of p: IPv4's broadcast address.
func Last(p netip.Prefix) netip.Addr {
	raw := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(raw)*8; i++ {
		raw[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(raw)
	return a
}
