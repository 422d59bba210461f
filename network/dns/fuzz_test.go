package dns

import (
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// FuzzAnswer feeds packets of any kind: each is answered in its size, or not at all.
func FuzzAnswer(f *testing.F) {
	zones := map[string]*Zone{"net": NewZone("net", map[string][]netip.Addr{
		"web": {netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}, "none": nil,
	})}
	v := &View{Networks: []string{"net"}}
	for _, name := range []string{"web.", "none.", "web.net.", "1.0.0.10.in-addr.arpa.", "x.ip6.arpa.", "."} {
		for _, kind := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypePTR} {
			m := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}}}
			b, err := m.Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		q, rcode, ok := parse(msg)
		if !ok {
			return
		}
		var buf [maxUDP]byte
		reply := failure(q, rcode, buf[:])
		if rcode == dnsmessage.RCodeSuccess {
			if r, ours := answer(v, zones, q, 7, buf[:]); ours {
				reply = truncate(q, r)
			}
		}
		if len(reply) > q.size && q.size >= plainSize {
			t.Fatalf("%d bytes for a client that takes %d", len(reply), q.size)
		}
		var p dnsmessage.Parser
		if h, err := p.Start(reply); len(reply) > 0 && (err != nil || h.ID != q.header.ID || !h.Response) {
			t.Fatalf("reply %x: %v", reply, err)
		}
	})
}
