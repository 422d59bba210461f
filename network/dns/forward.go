package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"
)

// patience is how long one upstream is waited for before the next is asked.
const patience = 2 * time.Second

var errNoUpstream = errors.New("no upstream resolver")

// forward asks the servers in order and returns the first reply that came. The
// query goes out as it came in, over the transport it came by, from a socket of
// its own: a random source port (CVE-2008-1447).
func forward(ctx context.Context, network string, servers []netip.AddrPort, msg []byte) ([]byte, error) {
	last := errNoUpstream
	for _, s := range servers {
		reply, err := ask(ctx, network, s, msg)
		if err == nil {
			return reply, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		last = err
	}
	return nil, last
}

func ask(ctx context.Context, network string, server netip.AddrPort, msg []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if network == "tcp" {
		if err := writeTCP(c, msg); err != nil {
			return nil, err
		}
		return readTCP(c)
	}
	if _, err := c.Write(msg); err != nil {
		return nil, err
	}
	buf := make([]byte, maxUDP)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return nil, err
		}
		if n >= 12 && buf[0] == msg[0] && buf[1] == msg[1] && buf[2]&0x80 != 0 {
			return buf[:n], nil
		}
	}
}

// readTCP reads one message behind its length.
func readTCP(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	msg := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, msg)
	return msg, err
}

func writeTCP(w io.Writer, msg []byte) error {
	if len(msg) > 0xffff {
		return errors.New("message too long")
	}
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...))
	return err
}
