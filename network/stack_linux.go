package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"devstack/network/dns"
	"devstack/network/ipam"
	"devstack/network/nat"
	"devstack/network/publish"
	"devstack/network/rtnl"
)

// Stack is all networking of one engine. Safe for concurrent use.
type Stack struct {
	cfg      Config
	host     *rtnl.Conn
	nat      *nat.Table
	dns      *dns.Server
	ports    *publish.Table
	reaper   rtnl.Reaper
	redirect *nat.Redirect
	work     sync.WaitGroup
	saver    *saver

	// busy bounds who is inside the kernel at a time. It works on one after the
	// other anyway (RTNL), and a Go thread once started stays, with its stacks.
	busy chan struct{}

	applying  sync.Mutex // one change of networks at a time; before recording and mu
	recording sync.Mutex // one writer of networks' records; before mu

	mu        sync.Mutex
	nets      map[string]*netState
	sandboxes map[string]*Sandbox
	notes     []string
}

// netState is a network and its addresses; guarded by Stack.mu.
type netState struct {
	Network
	leases  []*ipam.Leases // one for each pool
	applied bool           // the bridge is up
}

// Open reads what earlier engines left in the records. It changes nothing.
func Open(ctx context.Context, cfg Config) (*Stack, error) {
	if len(cfg.Tag) != 6 {
		return nil, fmt.Errorf("tag %q is not six characters", cfg.Tag)
	}
	cfg.Restored = maps.Clone(cfg.Restored)
	s := &Stack{cfg: cfg, nets: map[string]*netState{}, sandboxes: map[string]*Sandbox{}, busy: make(chan struct{}, 2*runtime.GOMAXPROCS(0))}
	var err error
	if s.host, err = rtnl.Open(); err != nil {
		return nil, err
	}
	if s.nat, err = nat.Open(cfg.Tag, bridgePrefix(cfg.Tag)); err != nil {
		return nil, errors.Join(err, s.host.Close())
	}
	if s.redirect, err = nat.NewRedirect(resolverAddr); err != nil {
		return nil, errors.Join(err, s.host.Close(), s.nat.Close())
	}
	if s.dns, err = dns.Open(&dns.Host{}); err != nil {
		return nil, errors.Join(err, s.host.Close(), s.nat.Close())
	}
	stated, err := s.nat.Redirects()
	if err != nil {
		s.note(err.Error())
	}
	s.ports = publish.Open(publish.Config{
		Stated: stated, Keep: cfg.Keep, Restored: cfg.Restored, Fast: s.nat.ApplyPorts, Cut: nat.Cut,
		Warn: func(err error) { s.note(err.Error()) },
	})
	s.saver = newSaver(s.saveNamed)
	s.load()
	adopted, _ := s.ruled()
	s.nat.Adopt(adopted)
	return s, nil
}

// Close ends the resolver and the proxies and closes all sockets. Bridges,
// namespaces and rules stay: they serve the containers, which stay too.
func (s *Stack) Close() error {
	s.ports.Close()
	s.dns.Close()
	s.mu.Lock()
	for _, b := range s.sandboxes {
		b.conn.Close()
	}
	s.mu.Unlock()
	s.work.Wait()
	s.saver.Close()
	s.reaper.Close()
	return errors.Join(s.host.Close(), s.nat.Close())
}

// enterKernel waits for a place; the function returned gives it back.
func (s *Stack) enterKernel() (leave func()) {
	s.busy <- struct{}{}
	return func() { <-s.busy }
}

// Notes says what was changed on, or is wrong with, the machine at large.
func (s *Stack) Notes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(s.nat.Notes(), s.notes...)
}

func (s *Stack) note(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.notes, text) {
		s.notes = append(s.notes, text)
	}
}

func (s *Stack) networkPath(name string) string {
	return filepath.Join(s.cfg.DataRoot, "networks", name+".json")
}

func (s *Stack) load() {
	entries, _ := os.ReadDir(filepath.Join(s.cfg.DataRoot, "networks"))
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		var rec networkRecord
		if !ok || !readRecord(s.networkPath(name), &rec) || rec.Version != recordVersion || rec.Spec.Name != name {
			continue
		}
		n, err := s.newState(rec.Spec, rec.Pools, rec.Sticky)
		if err != nil {
			continue
		}
		// A bridge that is there was applied by the engine before: its rules go on.
		if n.Index, err = s.host.Index(n.Bridge); err == nil {
			n.applied = true
		}
		s.nets[name] = n
	}
}

func (s *Stack) newState(spec Spec, pools []Pool, sticky map[string][]netip.Addr) (*netState, error) {
	n := &netState{Network: Network{Spec: spec, MTU: mtuOf(spec), Bridge: s.freeBridgeName(spec.Name)}}
	for _, p := range pools {
		remembered := ipam.State{}
		for key, addrs := range sticky {
			for _, a := range addrs {
				if p.Subnet.Contains(a) {
					remembered[key] = a
				}
			}
		}
		l, err := ipam.NewLeases(p, remembered)
		if err != nil {
			return nil, fmt.Errorf("network %s: %w", spec.Name, err)
		}
		n.leases = append(n.leases, l)
		n.Pools = append(n.Pools, l.Pool())
	}
	return n, nil
}

func (s *Stack) freeBridgeName(network string) string {
	for salt := 0; ; salt++ {
		name := bridgeName(s.cfg.Tag, network, salt)
		if !slices.ContainsFunc(s.list(), func(n *netState) bool { return n.Bridge == name && n.Name != network }) {
			return name
		}
	}
}

func (s *Stack) list() []*netState {
	out := make([]*netState, 0, len(s.nets))
	for _, n := range s.nets {
		out = append(out, n)
	}
	return out
}

// save writes the record of a network.
func (s *Stack) save(n *netState) error {
	s.mu.Lock()
	rec := networkRecord{Version: recordVersion, Spec: n.Spec, Pools: n.Pools, Sticky: stickyOf(n.leases)}
	s.mu.Unlock()
	return writeRecord(s.networkPath(n.Name), rec)
}

// saveNamed writes the record of a network unless it was removed meanwhile.
// Removal and this exclude each other by recording.
func (s *Stack) saveNamed(name string) {
	s.recording.Lock()
	defer s.recording.Unlock()
	s.mu.Lock()
	n := s.nets[name]
	s.mu.Unlock()
	if n == nil {
		return
	}
	if err := s.save(n); err != nil {
		s.note(fmt.Sprintf("record of network %s: %v", name, err))
	}
}

// Lookup finds a network that was applied, by this engine or one before it.
func (s *Stack) Lookup(name string) (Network, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.nets[name]; n != nil {
		return n.Network, true
	}
	return Network{}, false
}

// List returns all networks, by name.
func (s *Stack) List() []Network {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Network
	for _, n := range s.nets {
		out = append(out, n.Network)
	}
	slices.SortFunc(out, func(a, b Network) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// ForgetKeys frees the sticky addresses of a project's services.
func (s *Stack) ForgetKeys(project string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.nets {
		changed := false
		for _, l := range n.leases {
			changed = l.Forget(func(key string) bool { return strings.HasPrefix(key, project+"/") }) || changed
		}
		if changed {
			s.saver.Save(n.Name)
		}
	}
}

// SetNames states all names of a network.
func (s *Stack) SetNames(network string, names map[string][]netip.Addr) {
	if names == nil {
		names = map[string][]netip.Addr{}
	}
	s.dns.SetNames(network, names)
}

// Publish opens a port, or returns where it is open already.
func (s *Stack) Publish(ctx context.Context, p PublishSpec) (Published, error) {
	return s.ports.Publish(ctx, p)
}

// SetBackends states where a published port leads. With none, connections are
// held until there is one.
func (s *Stack) SetBackends(key string, to []netip.AddrPort) { s.ports.SetBackends(key, to) }

// Unpublish closes a port. A key that is not published is no error.
func (s *Stack) Unpublish(key string) error { return s.ports.Unpublish(key) }
