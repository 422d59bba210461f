package nat

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// Redirects are the backends to which the rules of an earlier engine lead
// connections now. Without such rules there are none.
func (t *Table) Redirects() ([]netip.AddrPort, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tables, err := t.conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	var out []netip.AddrPort
	for _, table := range tables {
		if table.Name != t.name {
			continue
		}
		rules, err := t.conn.GetRules(table, &nftables.Chain{Name: localChain, Table: table})
		if err != nil {
			return nil, fmt.Errorf("list rules of published ports: %w", err)
		}
		for _, r := range rules {
			if to, ok := redirectOf(r); ok {
				out = append(out, to)
			}
		}
	}
	return out, nil
}

// redirectOf reads what redirectTo has written.
func redirectOf(r *nftables.Rule) (netip.AddrPort, bool) {
	var addr netip.Addr
	var port uint16
	for _, e := range r.Exprs {
		switch imm, ok := e.(*expr.Immediate); {
		case !ok:
		case imm.Register == 1 && len(imm.Data) == 4:
			addr = netip.AddrFrom4([4]byte(imm.Data))
		case imm.Register == 2 && len(imm.Data) >= 2:
			port = binaryutil.BigEndian.Uint16(imm.Data)
		}
	}
	return netip.AddrPortFrom(addr, port), addr.IsValid() && port != 0
}
