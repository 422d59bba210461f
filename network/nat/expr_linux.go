package nat

import (
	"net/netip"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// A rule is written as a row of matches and a verdict:
// rule(in(bridge), daddr(prefix), drop()).
type match []expr.Any

func rule(parts ...match) []expr.Any {
	var out []expr.Any
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func equal(data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data}
}

func unequal(data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: data}
}

// ifname compares the whole name; a final * compares what precedes it.
func ifname(name string) []byte {
	if n := len(name); n > 0 && name[n-1] == '*' {
		return []byte(name[:n-1])
	}
	var b [unix.IFNAMSIZ]byte
	copy(b[:], name)
	return b[:]
}

func in(name string) match {
	return match{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, equal(ifname(name))}
}

func notIn(name string) match {
	return match{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, unequal(ifname(name))}
}

func out(name string) match {
	return match{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1}, equal(ifname(name))}
}

func notOut(name string) match {
	return match{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1}, unequal(ifname(name))}
}

// header offsets: source and destination address of IPv4 and IPv6.
func addrField(v6, dst bool) (offset, size uint32) {
	switch {
	case v6 && dst:
		return 24, 16
	case v6:
		return 8, 16
	case dst:
		return 16, 4
	}
	return 12, 4
}

func inPrefix(p netip.Prefix, dst bool) match {
	p = p.Masked()
	v6 := p.Addr().Is6()
	offset, size := addrField(v6, dst)
	m := append(family(v6), &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size})
	if p.Bits() < int(size)*8 {
		mask := make([]byte, size)
		for i := range p.Bits() {
			mask[i/8] |= 0x80 >> (i % 8)
		}
		m = append(m, &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: mask, Xor: make([]byte, size)})
	}
	return append(m, equal(p.Addr().AsSlice()))
}

func source(p netip.Prefix) match      { return inPrefix(p, false) }
func destination(p netip.Prefix) match { return inPrefix(p, true) }

func family(v6 bool) match {
	proto := byte(unix.NFPROTO_IPV4)
	if v6 {
		proto = unix.NFPROTO_IPV6
	}
	return match{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equal([]byte{proto})}
}

// toLocal matches what is addressed to this machine.
func toLocal() match {
	return match{
		&expr.Fib{Register: 1, ResultADDRTYPE: true, FlagDADDR: true},
		equal(binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)),
	}
}

func fromLocal() match {
	return match{
		&expr.Fib{Register: 1, ResultADDRTYPE: true, FlagSADDR: true},
		equal(binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)),
	}
}

func protoNumber(proto string) byte {
	if proto == "udp" {
		return unix.IPPROTO_UDP
	}
	return unix.IPPROTO_TCP
}

func dport(proto string, port uint16) match {
	return match{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal([]byte{protoNumber(proto)}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		equal(binaryutil.BigEndian.PutUint16(port)),
	}
}

// bits of struct nf_conn's status and of its states as nft_ct sees them.
const (
	ctEstablished = 1 << 1
	ctRelated     = 1 << 2
	ctDNAT        = 1 << 5
)

func ctHas(key expr.CtKey, bits uint32) match {
	return match{
		&expr.Ct{Key: key, Register: 1},
		&expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4),
		},
		unequal(make([]byte, 4)),
	}
}

func known() match     { return ctHas(expr.CtKeySTATE, ctEstablished|ctRelated) }
func published() match { return ctHas(expr.CtKeySTATUS, ctDNAT) }

func accept() match     { return match{&expr.Verdict{Kind: expr.VerdictAccept}} }
func drop() match       { return match{&expr.Verdict{Kind: expr.VerdictDrop}} }
func masquerade() match { return match{&expr.Masq{}} }
