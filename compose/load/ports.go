package load

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"devstack/schema"
)

// portRange is first-last, both included.
type portRange struct{ first, last int }

// maxPorts bounds what ranges of ports are made into, each of its entries: few
// bytes of a file would fill the memory otherwise.
const maxPorts = 1 << 16

func (r portRange) size() int { return r.last - r.first + 1 }

func parsePortRange(s string) (portRange, error) {
	a, b, isRange := strings.Cut(s, "-")
	first, err := parsePort(a)
	if err != nil || !isRange {
		return portRange{first, first}, err
	}
	last, err := parsePort(b)
	if err == nil && last < first {
		err = fmt.Errorf("port range %s runs backwards", quote(s))
	}
	return portRange{first, last}, err
}

// transport reports whether ports are of the protocol.
func transport(protocol string) bool {
	return protocol == "tcp" || protocol == "udp" || protocol == "sctp"
}

func parsePort(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || s[0] == '+' || s[0] == '-' {
		return 0, fmt.Errorf("invalid port %s", quote(s))
	}
	if n > 65535 {
		return 0, fmt.Errorf("port %d is out of range 0-65535", n)
	}
	return n, nil
}

// port gives the long form of one entry of ports; a range makes several.
func (c *conformer) port(n *node, v *schema.Value, t *trail) []*node {
	if n.tag == resetTag {
		return nil
	}
	if c.leave(n) {
		return []*node{n}
	}
	if n.kind == mapKind {
		return c.longPort(n, v, t)
	}
	if n = c.scalar(n, v, t); n == nil {
		return nil
	}
	if n.kind == nullKind || n.kind == listKind {
		c.mismatch(n, v, t)
		return nil
	}
	specs, err := parsePortSpec(n.text)
	if err != nil {
		hint := "a port is [[HOST:]PUBLISHED:]TARGET[/PROTOCOL], as \"8080:80\""
		c.fault(n, hint, "%s: %v", t.subject(), err)
		return nil
	}
	if c.ld.ports += len(specs); c.ld.ports > maxPorts {
		c.fault(n, "a host has no more than 65535; network_mode: host needs no ports", "%s: the project's ranges make more than %d ports", t.subject(), maxPorts)
		return nil
	}
	out := make([]*node, len(specs))
	for i, s := range specs {
		m := mapAt(n.place, pair("mode", textAt(n.place, "ingress")))
		if s.host != "" {
			m.keys = append(m.keys, pair("host_ip", textAt(n.place, s.host)))
		}
		m.keys = append(m.keys, pair("target", intAt(n.place, s.target)))
		if s.published != "" {
			m.keys = append(m.keys, pair("published", textAt(n.place, s.published)))
		}
		m.keys = append(m.keys, pair("protocol", textAt(n.place, s.protocol)))
		out[i] = m
	}
	return out
}

// longPort checks an entry of ports in its long form.
func (c *conformer) longPort(n *node, v *schema.Value, t *trail) []*node {
	named := n.get("target") != nil
	if n = c.mapping(n, v, t); n == nil {
		return nil
	}
	if p := n.get("published"); p != nil {
		p.kind = textKind
		if p.text != "" {
			if _, err := parsePortRange(p.text); err != nil {
				c.fault(p, "", "%s.published: %v", t.subject(), err)
				return nil
			}
		}
	}
	if ip := n.get("host_ip"); ip != nil {
		if _, err := netip.ParseAddr(ip.text); err != nil {
			c.fault(ip, "", "%s.host_ip: invalid IP address %s", t.subject(), quote(ip.text))
			return nil
		}
	}
	if n.get("target") == nil {
		if named {
			return nil // it was at fault
		}
		c.fault(n, "add target: the port in the container", "%s has no target", t.subject())
		return nil
	}
	for _, d := range [2][2]string{{"protocol", "tcp"}, {"mode", "ingress"}} {
		if n.get(d[0]) == nil {
			n.keys = append(n.keys, pair(d[0], textAt(n.place, d[1])))
		}
	}
	return []*node{n}
}

type portSpec struct {
	host, published, protocol string
	target                    int
}

// parsePortSpec reads [[HOST:]PUBLISHED:]TARGET[/PROTOCOL]. A range of
// targets makes one entry each; a range of published ports for one target is
// a choice.
func parsePortSpec(s string) ([]portSpec, error) {
	host, published, target := "", "", s
	if at := strings.LastIndexByte(s, ':'); at >= 0 {
		published, target = s[:at], s[at+1:]
		if at := strings.LastIndexByte(published, ':'); at >= 0 {
			host, published = published[:at], published[at+1:]
		}
	}
	target, protocol, _ := strings.Cut(target, "/")
	if protocol = strings.ToLower(protocol); protocol == "" {
		protocol = "tcp"
	}
	if target == "" {
		return nil, fmt.Errorf("no container port in %s", quote(s))
	}
	if !transport(protocol) {
		return nil, fmt.Errorf("unknown protocol %s", quote(protocol))
	}
	if host != "" {
		ip := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
		if _, err := netip.ParseAddr(ip); err != nil {
			return nil, fmt.Errorf("invalid IP address %s", quote(host))
		}
		host = ip
	}
	inside, err := parsePortRange(target)
	if err != nil {
		return nil, err
	}
	var outside portRange
	if published != "" {
		if outside, err = parsePortRange(published); err != nil {
			return nil, err
		}
		if inside.size() > 1 && inside.size() != outside.size() {
			return nil, fmt.Errorf("the ranges %s and %s differ in length", published, target)
		}
	}
	out := make([]portSpec, inside.size())
	for i := range out {
		out[i] = portSpec{host: host, protocol: protocol, target: inside.first + i}
		switch {
		case published == "":
		case inside.size() == 1 && outside.size() > 1:
			out[i].published = fmt.Sprintf("%d-%d", outside.first, outside.last)
		default:
			out[i].published = strconv.Itoa(outside.first + i)
		}
	}
	return out, nil
}
