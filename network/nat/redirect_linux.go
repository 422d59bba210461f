package nat

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// redirectTable is the one table in a sandbox.
const redirectTable = "devstack"

// Redirect turns port 53 of addr into the ports given, and back, in the calling
// thread's network namespace. It replaces an earlier redirect.
func Redirect(addr netip.Addr, udp, tcp uint16) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	table := c.AddTable(&nftables.Table{Name: redirectTable, Family: nftables.TableFamilyIPv4})
	chain := c.AddChain(&nftables.Chain{
		Name: "resolver", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityMangle,
	})
	c.FlushChain(chain)
	host := netip.PrefixFrom(addr, 32)
	for proto, port := range map[byte]uint16{unix.IPPROTO_UDP: udp, unix.IPPROTO_TCP: tcp} {
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: rule(plain(destination(host)), rewrite(proto, 2, 53, port))})
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: rule(plain(source(host)), rewrite(proto, 0, port, 53))})
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("redirect resolver: %w", err)
	}
	return nil
}

// plain leaves out the family test, which a table of one family needs not.
func plain(m match) match { return m[2:] }

// rewrite changes the 16-bit field of the transport header from one port to another.
func rewrite(proto byte, offset uint32, from, to uint16) match {
	checksum := uint32(16) // TCP
	if proto == unix.IPPROTO_UDP {
		checksum = 6
	}
	return match{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal([]byte{proto}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
		equal(binaryutil.BigEndian.PutUint16(from)),
		&expr.Immediate{Register: 1, Data: binaryutil.BigEndian.PutUint16(to)},
		&expr.Payload{
			OperationType: expr.PayloadWrite, SourceRegister: 1, Base: expr.PayloadBaseTransportHeader,
			Offset: offset, Len: 2, CsumType: expr.CsumTypeInet, CsumOffset: checksum,
		},
	}
}
