package publish

import (
	"context"
	"errors"
	"io"
	"net"
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
	case p.held <- struct{}{}:
	case <-p.ctx.Done():
		reset(c)
		return
	}
	p.table.held.Add(1)
	p.table.work.Go(func() {
		up := p.dial()
		p.table.held.Add(-1)
		<-p.held
		if up == nil {
			reset(c)
			return
		}
		join(p.ctx, c, up)
	})
}

// dial connects to a backend, waiting for one to appear and, while it is new,
// for it to listen. nil: the time is over.
//
// Of all that wait for a new backend only one tries, in short intervals that
// grow with the time it takes; the others are woken when it has come through.
func (p *port) dial() *net.TCPConn {
	began, mine := time.Now(), false
	defer func() {
		if mine {
			<-p.probing
		}
	}()
	for {
		now := p.pick()
		left := now.hold.Timeout - time.Since(began)
		if len(now.order) > 0 {
			if !mine && !now.proven {
				select {
				case p.probing <- struct{}{}:
					mine = true
				default:
				}
			}
			again := maxProbeDelay // in case that who tries gives up
			age := time.Since(now.since)
			if mine || now.proven {
				if up := p.tryAll(now); up != nil {
					return up
				}
				again = probeDelay(age)
			}
			if age > now.hold.Timeout && time.Since(began) > deathNotice {
				return nil // that is the service's answer
			}
			left = min(left, again)
		}
		if left <= 0 || now.hold.Off {
			return nil
		}
		if !p.await(now.changed, left) {
			return nil
		}
	}
}

const (
	maxProbeDelay = 50 * time.Millisecond
	// deathNotice is how long it may take until one hears that a backend which
	// refuses has died.
	deathNotice = 100 * time.Millisecond
)

// probeDelay is how long to wait before a backend of this age is tried again:
// the delay that it adds to a start is a small part of it.
func probeDelay(age time.Duration) time.Duration {
	return min(max(age/10, time.Millisecond), maxProbeDelay)
}

// tryAll connects to the first backend that takes it.
func (p *port) tryAll(now choice) *net.TCPConn {
	d := net.Dialer{Timeout: 3 * time.Second}
	for _, a := range now.order {
		c, err := d.DialContext(p.ctx, "tcp", a.String())
		if err != nil {
			continue
		}
		if p.accepted(a, now.turn) {
			return c.(*net.TCPConn)
		}
		// SetBackends was called meanwhile: this one may be on its way out, and
		// nobody waits for a connection that was not there before.
		c.Close()
	}
	return nil
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
