package dns

import (
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	plainSize = 512  // largest UDP answer for a client that names no size (RFC 1035)
	maxUDP    = 4096 // largest UDP message read or sent
)

// query is what of a message matters here.
type query struct {
	header   dnsmessage.Header
	question dnsmessage.Question
	name     string // lower case, without the final dot
	size     int    // largest UDP answer the client takes
}

// parse reads a query. ok is false for what deserves no answer: an answer sent
// as a query, or bytes without a header.
func parse(msg []byte) (q query, rcode dnsmessage.RCode, ok bool) {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil || h.Response {
		return q, 0, false
	}
	q.header, q.size = h, plainSize
	if h.OpCode != 0 {
		return q, dnsmessage.RCodeNotImplemented, true
	}
	if q.question, err = p.Question(); err != nil {
		return q, dnsmessage.RCodeFormatError, true
	}
	if _, err = p.Question(); err != dnsmessage.ErrSectionDone {
		return q, dnsmessage.RCodeFormatError, true // two questions: nobody asks that
	}
	q.name = strings.ToLower(strings.TrimSuffix(q.question.Name.String(), "."))
	if p.SkipAllAnswers() == nil && p.SkipAllAuthorities() == nil {
		for {
			rr, err := p.AdditionalHeader()
			if err != nil {
				break
			}
			if rr.Type == dnsmessage.TypeOPT {
				q.size = max(plainSize, min(int(rr.Class), maxUDP))
			}
			if p.SkipAdditional() != nil {
				break
			}
		}
	}
	return q, dnsmessage.RCodeSuccess, true
}

// answer makes the reply to q where the name is one of ours. turn rotates the
// addresses.
func answer(v *View, zones map[string]*Zone, q query, turn uint32, buf []byte) (reply []byte, ours bool) {
	if q.question.Class != dnsmessage.ClassINET {
		return nil, false
	}
	if q.question.Type == dnsmessage.TypePTR {
		a, ok := reverseAddr(q.name)
		if !ok {
			return nil, false
		}
		name, ok := v.pointer(zones, a)
		if !ok {
			return nil, false
		}
		return build(q, dnsmessage.RCodeSuccess, nil, name, 0, buf), true
	}
	addrs, known := v.find(zones, q.name)
	if !known {
		return nil, false
	}
	return build(q, dnsmessage.RCodeSuccess, addrs, "", turn, buf), true
}

// failure makes a reply without records.
func failure(q query, rcode dnsmessage.RCode, buf []byte) []byte {
	return build(q, rcode, nil, "", 0, buf)
}

func build(q query, rcode dnsmessage.RCode, addrs []netip.Addr, ptr string, turn uint32, buf []byte) []byte {
	b := dnsmessage.NewBuilder(buf[:0], dnsmessage.Header{
		ID: q.header.ID, Response: true, RecursionDesired: q.header.RecursionDesired,
		RecursionAvailable: true, RCode: rcode,
	})
	b.EnableCompression()
	if q.question.Name.Length > 0 {
		if b.StartQuestions() != nil || b.Question(q.question) != nil {
			return nil
		}
	}
	if b.StartAnswers() != nil {
		return nil
	}
	h := dnsmessage.ResourceHeader{Name: q.question.Name, Class: dnsmessage.ClassINET, TTL: TTL}
	if ptr != "" {
		if n, err := dnsmessage.NewName(ptr + "."); err == nil {
			_ = b.PTRResource(h, dnsmessage.PTRResource{PTR: n})
		}
	}
	for i := range addrs {
		a := addrs[(i+int(turn%uint32(len(addrs))))%len(addrs)].Unmap()
		switch {
		case a.Is4() && q.question.Type == dnsmessage.TypeA:
			_ = b.AResource(h, dnsmessage.AResource{A: a.As4()})
		case a.Is6() && q.question.Type == dnsmessage.TypeAAAA:
			_ = b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: a.As16()})
		}
	}
	out, err := b.Finish()
	if err != nil {
		return nil
	}
	return out
}

// truncate cuts a reply that the client's UDP buffer cannot take down to the
// question with TC set: it asks again over TCP.
func truncate(q query, reply []byte) []byte {
	if len(reply) <= q.size {
		return reply
	}
	cut := failure(q, dnsmessage.RCodeSuccess, nil)
	if len(cut) > 2 {
		cut[2] |= 0x02
	}
	return cut
}
