package nat

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Table is the engine's table.
type Table struct {
	name    string
	bridges string // wildcard for our bridges

	mu    sync.Mutex
	conn  *nftables.Conn
	gens  *netlink.Conn // asks for the generation
	nets  []Network     // stated last
	ports []Port
	gen   uint32   // of all rules of the machine, after we stated ours; 0: state them
	notes []string // what admit could not do
}

// Open prepares the table named for tag; bridges is the prefix of the engine's
// bridges. Nothing is changed before the first Apply.
func Open(tag, bridges string) (*Table, error) {
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	gens, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open nftables: %w", err), conn.CloseLasting())
	}
	return &Table{name: "devstack-" + tag, bridges: bridges + "*", conn: conn, gens: gens}, nil
}

// Close closes the socket; the rules stay.
func (t *Table) Close() error { return errors.Join(t.conn.CloseLasting(), t.gens.Close()) }

func (t *Table) table() *nftables.Table {
	return &nftables.Table{Name: t.name, Family: nftables.TableFamilyINet}
}

// chain states a base chain and empties it.
func (t *Table) chain(table *nftables.Table, name string, kind nftables.ChainType, hook *nftables.ChainHook, prio *nftables.ChainPriority) *nftables.Chain {
	c := t.conn.AddChain(&nftables.Chain{Name: name, Table: table, Type: kind, Hooknum: hook, Priority: prio})
	t.conn.FlushChain(c)
	return c
}

func (t *Table) add(c *nftables.Chain, parts ...match) {
	t.conn.AddRule(&nftables.Rule{Table: c.Table, Chain: c, Exprs: rule(parts...)})
}

// ApplyNetworks states the rules of all networks. With none, and no ports, the
// table goes.
func (t *Table) ApplyNetworks(nets []Network) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current() && slices.EqualFunc(t.nets, nets, Network.equal) {
		return nil
	}
	t.nets = nets
	return t.all()
}

// Adopt says what an earlier engine stated for its networks, which go on.
func (t *Table) Adopt(nets []Network) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.nets = nets
}

// all states networks and ports.
func (t *Table) all() error {
	if len(t.nets)+len(t.ports) == 0 {
		return t.remove()
	}
	if err := t.stateNetworks(t.nets); err != nil {
		return err
	}
	if err := t.statePorts(); err != nil {
		return err
	}
	var err error
	if t.notes, err = t.admit(); err != nil {
		return err
	}
	return t.mark()
}

// Notes says what stands in the way of the containers' traffic.
func (t *Table) Notes() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.notes)
}

// current reports whether no rule of the machine has changed since ours were stated.
func (t *Table) current() bool {
	g, err := t.generation()
	return err == nil && t.gen != 0 && g == t.gen
}

func (t *Table) mark() error {
	g, err := t.generation()
	t.gen = g
	return err
}

func (t *Table) stateNetworks(nets []Network) error {
	table := t.conn.AddTable(t.table())

	guard := t.chain(table, "guard", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	t.add(guard, in(t.bridges), destination(loopback), drop())
	t.add(guard, in(t.bridges), source(loopback), drop())

	forward := t.chain(table, "forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	t.add(forward, known(), accept())
	for _, n := range nets {
		if n.Isolated {
			t.add(forward, in(n.Bridge), out(n.Bridge), drop())
		} else {
			t.add(forward, in(n.Bridge), out(n.Bridge), accept())
		}
	}
	t.add(forward, in(t.bridges), out(t.bridges), drop())
	for _, n := range nets {
		if n.Internal {
			t.add(forward, in(n.Bridge), drop())
			t.add(forward, out(n.Bridge), drop())
		}
	}
	t.add(forward, out(t.bridges), published(), accept())
	t.add(forward, out(t.bridges), drop())

	post := t.chain(table, "postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	t.add(post, out(t.bridges), published(), fromLocal(), masquerade())
	for _, n := range nets {
		if !n.Masquerade || n.Internal {
			continue
		}
		for _, s := range n.Subnets {
			t.add(post, source(s), notOut(n.Bridge), masquerade())
		}
	}
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("apply rules of networks: %w", err)
	}
	return nil
}

// Remove deletes the table.
func (t *Table) Remove() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.remove()
}

func (t *Table) remove() error {
	t.gen = 0
	foreign := t.withdraw()
	t.conn.AddTable(t.table()) // so that deleting it cannot fail for its absence
	t.conn.DelTable(t.table())
	if err := t.conn.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return errors.Join(foreign, fmt.Errorf("delete table %s: %w", t.name, err))
	}
	return foreign
}
