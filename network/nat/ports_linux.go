package nat

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// localChain redirects what this machine's own processes connect to.
const localChain = "dnat-local"

// ApplyPorts states the fast paths of all published ports.
func (t *Table) ApplyPorts(ports []Port) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	current := t.current()
	if current && slices.EqualFunc(t.ports, ports, Port.equal) {
		return nil
	}
	t.ports = ports
	if !current || len(t.nets)+len(t.ports) == 0 {
		return t.all() // somebody changed rules, perhaps ours
	}
	if err := t.statePorts(); err != nil {
		return err
	}
	return t.mark()
}

func (t *Table) statePorts() error {
	table := t.conn.AddTable(t.table())
	local := t.chain(table, localChain, nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest)
	outside := t.chain(table, "dnat-outside", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest)
	for _, p := range t.ports {
		for i, to := range p.Backends {
			if !to.Addr().Is4() || !p.Addr.Addr().Is4() {
				continue
			}
			way := rule(p.at(), share(len(p.Backends)-i), redirectTo(to))
			t.conn.AddRule(&nftables.Rule{Table: table, Chain: local, Exprs: way})
			if p.Outside {
				// Containers take the proxy: their own network's isolation would drop
				// them, and coming back to one's own bridge needs hairpins.
				t.conn.AddRule(&nftables.Rule{Table: table, Chain: outside, Exprs: append(rule(notIn(t.bridges)), way...)})
			}
		}
	}
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("apply rules of published ports: %w", err)
	}
	return nil
}

// at matches what is addressed to the port.
func (p Port) at() match {
	m := match(rule(family(false)))
	if p.Addr.Addr().IsUnspecified() {
		m = append(m, toLocal()...)
	} else {
		m = append(m, plain(destination(netip.PrefixFrom(p.Addr.Addr(), 32)))...)
	}
	return append(m, dport(p.Proto, p.Addr.Port())...)
}

// share lets every n-th connection pass. A row of rules with n counting down to
// 1 takes turns evenly.
func share(n int) match {
	if n <= 1 {
		return nil
	}
	return match{
		&expr.Numgen{Register: 1, Modulus: uint32(n), Type: unix.NFT_NG_INCREMENTAL},
		equal(make([]byte, 4)),
	}
}

func redirectTo(a netip.AddrPort) match {
	return match{
		&expr.Immediate{Register: 1, Data: a.Addr().AsSlice()},
		&expr.Immediate{Register: 2, Data: binaryutil.BigEndian.PutUint16(a.Port())},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: 2, Specified: true},
	}
}

// Cut forgets the flows to a port that the kernel has pinned to a backend which
// is not among the port's: their next packet is judged anew.
func Cut(p Port) error {
	_, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, stale{p})
	if err != nil {
		return fmt.Errorf("cut flows of port %s: %w", p.Addr, err)
	}
	return nil
}

type stale struct{ Port }

// MatchConntrackFlow reports whether a flow leads where it should not.
func (s stale) MatchConntrackFlow(f *netlink.ConntrackFlow) bool {
	if f.Forward.Protocol != protoNumber(s.Proto) || f.Forward.DstPort != s.Addr.Port() {
		return false
	}
	to, ok1 := netip.AddrFromSlice(f.Forward.DstIP)
	by, ok2 := netip.AddrFromSlice(f.Reverse.SrcIP)
	to, by = to.Unmap(), by.Unmap()
	if !ok1 || !ok2 || to == by { // not redirected: a flow of the proxy
		return false
	}
	if !s.Addr.Addr().IsUnspecified() && to != s.Addr.Addr() {
		return false
	}
	for _, b := range s.Backends {
		if b == netip.AddrPortFrom(by, f.Reverse.SrcPort) {
			return false
		}
	}
	return true
}
