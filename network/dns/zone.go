package dns

import (
	"net/netip"
	"slices"
	"strings"
)

// TTL in seconds of answers made here. Addresses are sticky, but which replica
// is healthy changes.
const TTL = 2

// Zone is the names of one network. It is never changed after it is made.
type Zone struct {
	network string
	names   map[string][]netip.Addr // lower case
	reverse map[netip.Addr]string
}

// NewZone makes the zone of a network.
func NewZone(network string, names map[string][]netip.Addr) *Zone {
	z := &Zone{
		network: strings.ToLower(network),
		names:   make(map[string][]netip.Addr, len(names)),
		reverse: make(map[netip.Addr]string),
	}
	for name, addrs := range names {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		z.names[name] = slices.Clone(addrs)
		for _, a := range addrs {
			if old, ok := z.reverse[a]; !ok || betterReverse(name, len(addrs), old, len(z.names[old])) {
				z.reverse[a] = name
			}
		}
	}
	return z
}

// betterReverse prefers the name that says most about an address: one of its
// own before a shared one, then the longest ("shop-web-1" before "web").
func betterReverse(name string, addrs int, old string, oldAddrs int) bool {
	if addrs != oldAddrs {
		return addrs < oldAddrs
	}
	if len(name) != len(old) {
		return len(name) > len(old)
	}
	return name < old
}

// View is what one sandbox sees. It is never changed after it is handed over.
type View struct {
	Networks []string                // in order of priority
	Names    map[string][]netip.Addr // of this sandbox alone: links, extra hosts
	Upstream []netip.AddrPort        // instead of the host's
	Closed   bool                    // only internal networks: nothing is forwarded
}

// find returns the addresses of a name (lower case, no final dot). known is
// true for a name without addresses too: it exists, with no record of the type.
func (v *View) find(zones map[string]*Zone, name string) (addrs []netip.Addr, known bool) {
	if a, ok := v.Names[name]; ok {
		return a, true
	}
	for _, n := range v.Networks {
		if z := zones[n]; z != nil {
			if a, ok := z.names[name]; ok {
				return a, true
			}
		}
	}
	// name.network; a network's name may hold dots itself.
	for _, n := range v.Networks {
		z := zones[n]
		if z == nil {
			continue
		}
		if host, ok := strings.CutSuffix(name, "."+z.network); ok {
			if a, ok := z.names[host]; ok {
				return a, true
			}
		}
	}
	return nil, false
}

// pointer returns the name of an address, as name.network.
func (v *View) pointer(zones map[string]*Zone, a netip.Addr) (string, bool) {
	for _, n := range v.Networks {
		if z := zones[n]; z != nil {
			if name, ok := z.reverse[a]; ok {
				return name + "." + z.network, true
			}
		}
	}
	return "", false
}

// reverseAddr reads 4.3.2.1.in-addr.arpa and the nibbles of ip6.arpa.
func reverseAddr(name string) (netip.Addr, bool) {
	if s, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		part := strings.Split(s, ".")
		if len(part) != 4 {
			return netip.Addr{}, false
		}
		slices.Reverse(part)
		a, err := netip.ParseAddr(strings.Join(part, "."))
		return a, err == nil
	}
	s, ok := strings.CutSuffix(name, ".ip6.arpa")
	if !ok || len(s) != 63 {
		return netip.Addr{}, false
	}
	var b strings.Builder
	for i := 62; i >= 0; i -= 2 {
		b.WriteByte(s[i])
		if i > 0 && s[i-1] != '.' {
			return netip.Addr{}, false
		}
		if i%8 == 0 && i > 0 {
			b.WriteByte(':')
		}
	}
	a, err := netip.ParseAddr(b.String())
	return a, err == nil
}
