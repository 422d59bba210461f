package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"devstack/network/dns"
	"devstack/network/nat"
	"devstack/network/netns"
	"devstack/network/rtnl"
)

// resolverAddr is where containers find their resolver.
var resolverAddr = netip.AddrFrom4([4]byte{127, 0, 0, 11})

// Sandbox is a container's network namespace.
type Sandbox struct {
	id       string
	path     string
	cfg      SandboxConfig
	redirect *nat.Redirect

	mu        sync.Mutex // one change at a time; before Stack.mu
	conn      *rtnl.Conn // inside the namespace
	endpoints []endpointRecord
	names     map[string][]netip.Addr // links
	kept      chan struct{}           // closed when the Keeper has the sockets; nil without sockets
	route     map[bool]netip.Addr     // default gateway by "is IPv6"
}

// Path is what a container joins.
func (b *Sandbox) Path() string { return b.path }

func (s *Stack) netnsPath(id string) string { return filepath.Join(s.cfg.RunRoot, "netns", id) }
func (s *Stack) sandboxPath(id string) string {
	return filepath.Join(s.cfg.RunRoot, "sandboxes", id+".json")
}

// CreateSandbox makes a network namespace with lo up and the resolver at
// 127.0.0.11.
func (s *Stack) CreateSandbox(ctx context.Context, id string, cfg SandboxConfig) (*Sandbox, error) {
	if err := checkName("sandbox", id); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(s.cfg.RunRoot, "netns"), 0o700); err != nil {
		return nil, err
	}
	b := &Sandbox{id: id, path: s.netnsPath(id), cfg: cfg, redirect: s.redirect, route: map[bool]netip.Addr{}}
	var sockets *dns.Sockets
	leave := s.enterKernel()
	err := netns.New(b.path, func() error {
		var err error
		sockets, err = b.setUp()
		return err
	})
	leave()
	if err != nil {
		return nil, fmt.Errorf("make sandbox %.12s: %w", id, err)
	}
	if err := s.enter(b, sockets); err != nil {
		return nil, errors.Join(fmt.Errorf("make sandbox %.12s: %w", id, err), b.conn.Close(), netns.Remove(b.path))
	}
	return b, nil
}

// enter makes a sandbox known and answers its queries.
func (s *Stack) enter(b *Sandbox, sockets *dns.Sockets) error {
	if sockets != nil {
		s.keepSockets(b, *sockets)
		if err := s.dns.Add(b.id, *sockets, s.view(b)); err != nil {
			sockets.Close()
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sandboxes[b.id] = b
	return nil
}

// setUp runs inside the namespace.
func (b *Sandbox) setUp() (_ *dns.Sockets, err error) {
	// IPv6 is turned on for interfaces of networks that have it. Addresses are
	// given, so there is nothing to detect or to learn from routers.
	for _, kv := range [][2]string{{"disable_ipv6", "1"}, {"accept_dad", "0"}, {"accept_ra", "0"}} {
		if err := writeSysctl("ipv6/conf/default/"+kv[0], kv[1]); err != nil {
			return nil, err
		}
	}
	return b.open(nil)
}

// open opens what the engine needs inside the namespace; sockets are those that
// were kept for it, nil where there are none.
func (b *Sandbox) open(sockets *dns.Sockets) (_ *dns.Sockets, err error) {
	if b.conn, err = rtnl.Open(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.conn.Close()
		}
	}()
	if err := b.conn.Run(rtnl.SetUp(rtnl.Link{Index: 1, Name: "lo"})); err != nil {
		return nil, err
	}
	if b.cfg.NoDNS {
		return nil, nil
	}
	if sockets == nil {
		fresh, err := dns.Listen()
		if err != nil {
			return nil, err
		}
		sockets = &fresh
	}
	udp, tcp, err := sockets.Ports()
	if err == nil {
		err = b.redirect.Set(udp, tcp)
	}
	if err != nil {
		sockets.Close()
		return nil, err
	}
	return sockets, nil
}

// OpenSandbox takes over a sandbox that an earlier engine made. Its endpoints
// are known again, as they were attached.
func (s *Stack) OpenSandbox(ctx context.Context, id string, cfg SandboxConfig) (*Sandbox, error) {
	b := &Sandbox{id: id, path: s.netnsPath(id), cfg: cfg, redirect: s.redirect, route: map[bool]netip.Addr{}}
	if _, err := os.Stat(b.path); err != nil {
		return nil, fmt.Errorf("sandbox %.12s: %w", id, ErrNoSandbox)
	}
	var rec sandboxRecord
	if readRecord(s.sandboxPath(id), &rec) && rec.Version == recordVersion {
		b.endpoints = rec.Endpoints
	}
	sockets := s.restoredSockets(id)
	leave := s.enterKernel()
	err := netns.Do(b.path, func() (err error) {
		sockets, err = b.open(sockets)
		return err
	})
	leave()
	if err != nil {
		return nil, fmt.Errorf("open sandbox %.12s: %w", id, err)
	}
	s.reclaim(b)
	if err := s.enter(b, sockets); err != nil {
		return nil, errors.Join(fmt.Errorf("open sandbox %.12s: %w", id, err), b.conn.Close())
	}
	return b, nil
}

// reclaim marks the addresses of an adopted sandbox as used.
func (s *Stack) reclaim(b *Sandbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range b.endpoints {
		n := s.nets[e.Endpoint.Network]
		if n == nil {
			continue
		}
		for _, l := range n.leases {
			for _, p := range []netip.Prefix{e.Endpoint.IPv4, e.Endpoint.IPv6} {
				if l.Pool().Subnet.Contains(p.Addr()) {
					_, _ = l.Take(e.Spec.Key, b.id, p.Addr())
				}
			}
		}
	}
	b.route = s.routes(b)
}

// RemoveSandbox removes a container's namespace and interfaces. What is gone
// already is no error.
func (s *Stack) RemoveSandbox(ctx context.Context, id string) error {
	if err := checkName("sandbox", id); err != nil {
		return err
	}
	s.mu.Lock()
	b := s.sandboxes[id]
	delete(s.sandboxes, id)
	for _, n := range s.nets {
		for _, l := range n.leases {
			l.Release(id)
		}
	}
	s.mu.Unlock()
	s.dns.Remove(id)

	var rec sandboxRecord
	var drop error
	if b != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		rec.Endpoints = b.endpoints
		if b.kept != nil {
			<-b.kept
			drop = s.dropSockets(id)
		}
		b.conn.Close()
	} else {
		readRecord(s.sandboxPath(id), &rec)
	}
	hosts := make([]string, 0, len(rec.Endpoints))
	for _, e := range rec.Endpoints {
		hosts = append(hosts, e.Host)
	}
	return errors.Join(drop, s.reaper.Delete(hosts...), netns.Remove(s.netnsPath(id)), removeRecord(s.sandboxPath(id)))
}

// SetSandboxNames states names that one sandbox alone resolves: links.
func (s *Stack) SetSandboxNames(id string, names map[string][]netip.Addr) {
	s.mu.Lock()
	b := s.sandboxes[id]
	s.mu.Unlock()
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.names = maps.Clone(names)
	s.dns.SetView(id, s.view(b))
}

// ResolvConf is the container's /etc/resolv.conf. The host's search domains are
// not copied: a service's name must not leave the machine.
func (b *Sandbox) ResolvConf() []byte {
	var out strings.Builder
	if b.cfg.NoDNS {
		for _, a := range b.cfg.Nameservers {
			fmt.Fprintf(&out, "nameserver %s\n", a)
		}
	} else {
		fmt.Fprintf(&out, "nameserver %s\n", resolverAddr)
	}
	if len(b.cfg.Search) > 0 {
		fmt.Fprintf(&out, "search %s\n", strings.Join(b.cfg.Search, " "))
	}
	options := b.cfg.Options
	if !slices.ContainsFunc(options, func(o string) bool { return strings.HasPrefix(o, "ndots:") }) {
		options = append(slices.Clone(options), "ndots:0")
	}
	fmt.Fprintf(&out, "options %s\n", strings.Join(options, " "))
	return []byte(out.String())
}
