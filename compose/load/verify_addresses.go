package load

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"devstack/compose"
)

// addresses checks the addresses that services ask for: their form, that they
// lie in a subnet of their network, and that nobody else has them. What one
// service cannot have is no reason to refuse another one.
func (v *verifier) addresses() {
	owner := map[string]string{}
	for _, name := range v.together() {
		s := v.p.Services[name]
		v.mac(&s, s.MacAddress, "mac_address")
		for i, text := range s.DNS {
			if _, err := netip.ParseAddr(text); err != nil {
				v.unfit(&s, "", at("dns", strconv.Itoa(i)), "dns of service %q: %s is not an IP address", s.Name, quote(text))
			}
		}
		for _, host := range keysOf(s.ExtraHosts) {
			for _, text := range s.ExtraHosts[host] {
				if _, err := netip.ParseAddr(strings.Trim(text, "[]")); err != nil && text != "host-gateway" {
					v.unfit(&s, "an address, or host-gateway", at("extra_hosts", host), "extra_hosts of service %q: %s is not an IP address", s.Name, quote(text))
				}
			}
		}
		for _, key := range keysOf(s.Networks) {
			n := s.Networks[key]
			if n == nil {
				continue
			}
			v.mac(&s, n.MacAddress, "networks", key, "mac_address")
			for _, a := range [2][2]string{{"ipv4_address", n.IPv4Address}, {"ipv6_address", n.IPv6Address}} {
				v.static(&s, key, a[0], a[1], owner)
			}
			for i, text := range n.LinkLocalIPs {
				if _, err := netip.ParseAddr(text); err != nil {
					v.unfit(&s, "", at("networks", key, "link_local_ips", strconv.Itoa(i)), "link_local_ips of service %q: %s is not an IP address", s.Name, quote(text))
				}
			}
		}
	}
}

// unfit is fault, but a warning for verbs that start nothing: `down` must work.
func (v *verifier) unfit(s *compose.Service, hint string, keys []string, format string, args ...any) {
	v.ld.outside(v.p, fmt.Sprintf(format, args...), hint, append([]string{"services", s.Name}, keys...)...)
}

func (v *verifier) mac(s *compose.Service, text string, keys ...string) {
	if text == "" {
		return
	}
	if hw, err := net.ParseMAC(text); err != nil || len(hw) != 6 {
		v.unfit(s, "six bytes in hexadecimal, as 02:42:ac:11:00:02", keys, "service %q: %s is not a MAC address", s.Name, quote(text))
	}
}

// static checks one address that a service wants on a network.
func (v *verifier) static(s *compose.Service, network, key, text string, owner map[string]string) {
	if text == "" {
		return
	}
	keys := at("networks", network, key)
	addr, err := netip.ParseAddr(text)
	if err != nil {
		v.unfit(s, "", keys, "%s of service %q: %s is not an IP address", key, s.Name, quote(text))
		return
	}
	if addr.Is4() != (key == "ipv4_address") {
		v.unfit(s, "", keys, "%s of service %q: %s belongs to the other family", key, s.Name, text)
		return
	}
	n, ok := v.p.Networks[network]
	if !ok || n.External {
		return
	}
	var subnets []string
	inside := false
	for _, pool := range n.IPAM.Config {
		prefix, err := netip.ParsePrefix(pool.Subnet)
		if err != nil || prefix.Addr().Is4() != addr.Is4() {
			continue
		}
		subnets = append(subnets, pool.Subnet)
		inside = inside || prefix.Contains(addr)
		if inside && pool.Gateway == text {
			v.unfit(s, "choose another one", keys, "%s of service %q: %s is the gateway of network %s", key, s.Name, text, network)
		}
	}
	if len(subnets) > 0 && !inside {
		v.unfit(s, "choose one in it, or change the subnet", keys, "%s of service %q: %s is not in the subnet %s of network %s", key, s.Name, text, strings.Join(subnets, ", "), network)
	}
	if other, taken := owner[network+" "+addr.String()]; taken {
		v.ld.atStart(v.p, fmt.Sprintf("%s of service %q: %s on network %s is taken by service %s", key, s.Name, text, network, other), "", "services", s.Name, "networks", network, key)
	}
	if s.Replicas() > 1 {
		v.ld.atStart(v.p, fmt.Sprintf("service %q has %d replicas, which cannot share the address %s", s.Name, s.Replicas(), text), "remove "+key+", or scale to 1", "services", s.Name, "networks", network, key)
	}
	owner[network+" "+addr.String()] = s.Name
}
