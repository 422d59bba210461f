package publish

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// listen takes connections from one socket.
func (p *port) listen(s socket) {
	l, err := net.FileListener(s.file)
	if err != nil {
		p.table.warn(err)
		return
	}
	context.AfterFunc(p.ctx, func() { l.Close() })
	p.table.work.Go(func() {
		for {
			c, err := l.Accept()
			if err == nil {
				p.take(c.(*net.TCPConn))
				continue
			}
			if p.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			if !errors.Is(err, unix.EMFILE) && !errors.Is(err, unix.ENFILE) && !errors.Is(err, unix.ENOBUFS) {
				continue // the client went away again
			}
			p.table.warn(err)
			if !p.pause(100 * time.Millisecond) { // until some descriptor is closed
				return
			}
		}
	})
}

// take finds the way for one connection. Where it cannot go on at once it
// holds a slot; without one the port stops accepting, and the kernel queues.
func (p *port) take(c *net.TCPConn) {
	select {
	case p.table.held <- struct{}{}:
	case <-p.ctx.Done():
		reset(c)
		return
	}
	p.table.work.Go(func() {
		up := p.dial()
		<-p.table.held
		if up == nil {
			reset(c)
			return
		}
		join(p.ctx, c, up)
	})
}

// dial connects to a backend, waiting for one to appear and, while it is new,
// for it to listen. nil: the time is over.
func (p *port) dial() *net.TCPConn {
	deadline := time.Now().Add(holdTime)
	for delay := 2 * time.Millisecond; ; delay = min(2*delay, 200*time.Millisecond) {
		order, since, changed := p.pick()
		for _, a := range order {
			if up := p.try(a); up != nil {
				return up
			}
		}
		wait := time.Until(deadline)
		if len(order) > 0 {
			if time.Since(since) > startTime {
				return nil // that is the service's answer
			}
			wait = min(wait, delay)
		}
		if wait <= 0 {
			return nil
		}
		if !p.await(changed, wait) {
			return nil
		}
	}
}

func (p *port) try(a netip.AddrPort) *net.TCPConn {
	d := net.Dialer{Timeout: 3 * time.Second}
	c, err := d.DialContext(p.ctx, "tcp", a.String())
	if err != nil {
		return nil
	}
	p.accepted(a)
	return c.(*net.TCPConn)
}

// await waits for a change or for d; false when the port is gone.
func (p *port) await(changed <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-p.ctx.Done():
		return false
	}
	return true
}

func (p *port) pause(d time.Duration) bool { return p.await(nil, d) }

// join copies both ways until both ends are done: each end's close travels on
// as a half-close. Between two TCP sockets io.Copy is splice(2).
func join(ctx context.Context, a, b *net.TCPConn) {
	defer a.Close()
	defer b.Close()
	stop := context.AfterFunc(ctx, func() {
		a.Close()
		b.Close()
	})
	defer stop()
	var back sync.WaitGroup
	back.Go(func() { pour(a, b) })
	pour(b, a)
	back.Wait()
}

func pour(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		// A broken end is passed on as what it is, not as a normal end.
		reset(to)
		reset(from)
		return
	}
	_ = to.CloseWrite()
}

// reset closes with RST: the client learns that there was no service.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}
