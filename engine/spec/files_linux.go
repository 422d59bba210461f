package spec

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Host is one address with the names it answers to.
type Host struct {
	Addr  string
	Names []string
}

// HostsFile is the content of /etc/hosts: loopback, extra hosts, the
// container's own addresses.
func HostsFile(hostname, domain string, own []netip.Addr, extra []Host) []byte {
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost\n" +
		"::1\tlocalhost ip6-localhost ip6-loopback\n" +
		"fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\n" +
		"ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n")
	for _, h := range extra {
		fmt.Fprintf(&b, "%s\t%s\n", h.Addr, strings.Join(h.Names, " "))
	}
	names := hostname
	if domain != "" {
		names = hostname + "." + domain + " " + hostname
	}
	for _, a := range own {
		fmt.Fprintf(&b, "%s\t%s\n", a, names)
	}
	return []byte(b.String())
}

// ExtraHosts turns extra_hosts into lines; host-gateway stands for gateway.
func ExtraHosts(hosts map[string][]string, gateway netip.Addr) ([]Host, error) {
	var out []Host
	for _, name := range sortedKeys(hosts) {
		for _, addr := range hosts[name] {
			if addr == "host-gateway" {
				if !gateway.IsValid() {
					return nil, fmt.Errorf("extra_hosts %s: host-gateway needs a network with a gateway", name)
				}
				addr = gateway.String()
			}
			addr = strings.Trim(addr, "[]")
			if _, err := netip.ParseAddr(addr); err != nil {
				return nil, fmt.Errorf("extra_hosts %s: %q is not an IP address", name, addr)
			}
			out = append(out, Host{Addr: addr, Names: []string{name}})
		}
	}
	return out, nil
}
