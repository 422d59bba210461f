package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"devstack/network/nat"
)

// Keeper holds duplicates of listening sockets outside this process.
type Keeper interface {
	Keep(name string, f *os.File) error
	Drop(name string) error
	Sync() // returns when what was dropped is closed
}

// Config is what a Table works with.
type Config struct {
	Keep     Keeper                 // may be nil
	Restored map[string]*os.File    // what Keep held before; names of others are left alone
	Fast     func([]nat.Port) error // states the fast paths; nil: proxy only
	Cut      func(nat.Port) error   // ends flows to backends that are not among those given; nil: none
	Warn     func(error)            // faults that nobody waits for; may be nil
	// Stated are the backends of fast paths that an earlier engine stated. They
	// go on as they are until Sweep: by then all ports are published again.
	Stated []netip.AddrPort
}

// Table is all published ports of an engine. Safe for concurrent use.
type Table struct {
	cfg  Config
	ctx  context.Context // of everything the table runs; ends with Close
	stop context.CancelFunc
	work sync.WaitGroup
	held atomic.Int64 // connections that wait

	asked  atomic.Uint64
	rules  sync.Mutex // held while rules are stated; before mu
	stated uint64     // the last of asked that the rules hold

	mu       sync.Mutex
	ports    map[string]*port
	restored map[string]*os.File
	earlier  map[netip.AddrPort]bool // nil once Sweep has been called
}

// Open makes a table with no ports.
func Open(cfg Config) *Table {
	t := &Table{
		cfg: cfg, ports: map[string]*port{}, restored: map[string]*os.File{},
	}
	t.ctx, t.stop = context.WithCancel(context.Background())
	for _, a := range cfg.Stated {
		if t.earlier == nil {
			t.earlier = map[netip.AddrPort]bool{}
		}
		t.earlier[a] = true
	}
	for name, f := range cfg.Restored {
		if strings.HasPrefix(name, keepPrefix) {
			t.restored[name] = f
		}
	}
	return t
}

// Close ends the proxy's connections and closes the sockets. What a Keeper
// holds of them, and the rules of fast paths, stay.
func (t *Table) Close() {
	t.stop()
	t.mu.Lock()
	for _, p := range t.ports {
		p.close()
	}
	clear(t.ports)
	for _, f := range t.restored {
		f.Close()
	}
	clear(t.restored)
	t.mu.Unlock()
	t.work.Wait()
}

// Publish opens a port, or returns where its key is published already.
func (t *Table) Publish(ctx context.Context, s Spec) (Published, error) {
	s.normalize()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() != nil {
		return Published{}, net.ErrClosed
	}
	if p := t.ports[s.Key]; p != nil {
		if !p.serves(s) {
			return Published{}, fmt.Errorf("port key %s is published at %s", s.Key, p.at)
		}
		p.mu.Lock()
		p.hold = s.Hold // but for the slots, which are as many as they were
		p.mu.Unlock()
		return Published{HostIP: p.at.Addr(), HostPort: p.at.Port(), Proto: s.Proto}, nil
	}
	socks, err := t.sockets(s)
	if err != nil {
		return Published{}, err
	}
	p := newPort(t, s, socks)
	t.ports[s.Key] = p
	p.run()
	return Published{HostIP: p.at.Addr(), HostPort: p.at.Port(), Proto: s.Proto, New: true}, nil
}

// sockets are those a Keeper held for this port, or new ones.
func (t *Table) sockets(s Spec) ([]socket, error) {
	if socks := t.take(s); socks != nil {
		return socks, nil
	}
	var first error
	for n := int(s.HostPort); n <= int(s.HostPortEnd); n++ {
		socks, err := t.openAll(s, uint16(n))
		if err == nil {
			return socks, t.keep(s, socks)
		}
		if taken, ok := errors.AsType[*TakenError](err); ok {
			t.blame(taken)
		} else {
			return nil, err
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// openAll tries once more when a Keeper may have let go meanwhile of what this
// table has dropped.
func (t *Table) openAll(s Spec, number uint16) ([]socket, error) {
	socks, err := openAll(s, number)
	if _, taken := errors.AsType[*TakenError](err); !taken || t.cfg.Keep == nil {
		return socks, err
	}
	t.cfg.Keep.Sync()
	return openAll(s, number)
}

// blame completes an error by who has the port.
func (t *Table) blame(e *TakenError) {
	for _, p := range t.ports {
		if p.spec.Proto == e.Proto && slices.ContainsFunc(p.socks, func(s socket) bool { return meets(s.at, e.Addr) }) {
			e.Project = p.spec.Project
			if e.Project == "" {
				e.Project, _, _ = strings.Cut(p.spec.Key, "/")
			}
			return
		}
	}
	e.PID, e.Command = holder(e.Proto, e.Addr)
}

// meets reports whether two addresses cannot both be bound.
func meets(a, b netip.AddrPort) bool {
	return a.Port() == b.Port() && a.Addr().Is4() == b.Addr().Is4() &&
		(a.Addr() == b.Addr() || a.Addr().IsUnspecified() || b.Addr().IsUnspecified())
}

// SetBackends states where a port leads; with none its connections wait. When
// it returns, no new connection reaches a backend that is not named.
func (t *Table) SetBackends(key string, to []netip.AddrPort) {
	t.mu.Lock()
	p := t.ports[key]
	var changed bool
	if p != nil {
		changed = p.setBackends(to, t.earlier)
	}
	t.mu.Unlock()
	if changed {
		t.state()
		if p.spec.Proto == "udp" && t.cfg.Cut != nil {
			t.warn(t.cfg.Cut(nat.Port{Addr: p.at, Proto: "udp", Backends: to}))
		}
	}
}

// state brings the rules in line with the ports. Callers that come while it
// runs wait; the first of them then states what all of them changed.
func (t *Table) state() {
	if t.cfg.Fast == nil {
		return
	}
	turn := t.asked.Add(1)
	t.rules.Lock()
	defer t.rules.Unlock()
	if t.stated >= turn {
		return // whoever came first has stated this change too
	}
	t.stated = t.asked.Load()
	t.mu.Lock()
	want, early := t.wanted(), t.earlier != nil
	t.mu.Unlock()
	if !early {
		t.warn(t.cfg.Fast(want))
	}
}

func (t *Table) wanted() []nat.Port {
	var out []nat.Port
	for _, p := range t.ports {
		out = append(out, p.fast()...)
	}
	slices.SortFunc(out, func(a, b nat.Port) int {
		return cmp.Or(strings.Compare(a.Proto, b.Proto), a.Addr.Compare(b.Addr))
	})
	return out
}

// Unpublish closes a port and drops the connections that wait.
func (t *Table) Unpublish(key string) error {
	t.mu.Lock()
	p := t.ports[key]
	delete(t.ports, key)
	t.mu.Unlock()
	if p == nil {
		return nil
	}
	wasFast := len(p.fast()) > 0
	p.shut()
	var errs []error
	if t.cfg.Keep != nil {
		for _, s := range p.socks {
			errs = append(errs, t.cfg.Keep.Drop(keepName(p.spec, s.at)))
		}
	}
	if wasFast {
		t.state()
	}
	return errors.Join(errs...)
}

// Sweep closes sockets that were restored and that nobody published again, and
// ends the fast paths of an earlier engine that are not this one's.
func (t *Table) Sweep() error {
	err := t.sweepSockets()
	t.mu.Lock()
	early := t.earlier != nil
	t.earlier = nil
	t.mu.Unlock()
	if early {
		t.state()
	}
	return err
}

func (t *Table) sweepSockets() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for name, f := range t.restored {
		errs = append(errs, f.Close())
		if t.cfg.Keep != nil {
			errs = append(errs, t.cfg.Keep.Drop(name))
		}
	}
	clear(t.restored)
	return errors.Join(errs...)
}

// Waiting returns how many connections wait for a backend or are being carried to it.
func (t *Table) Waiting() int { return int(t.held.Load()) }

// Queued returns how many datagrams wait for a backend of the port.
func (t *Table) Queued(key string) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.ports[key]; p != nil {
		for _, r := range p.udp {
			r.mu.Lock()
			n += len(r.waiting)
			r.mu.Unlock()
		}
	}
	return n
}

func (t *Table) warn(err error) {
	if err != nil && t.cfg.Warn != nil {
		t.cfg.Warn(err)
	}
}
