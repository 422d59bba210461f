package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

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
	err := netns.New(b.path, func() error {
		var err error
		sockets, err = b.setUp()
		return err
	})
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
	return b.open()
}

// open opens what the engine needs inside the namespace.
func (b *Sandbox) open() (_ *dns.Sockets, err error) {
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
	sockets, err := dns.Listen()
	if err != nil {
		return nil, err
	}
	udp, tcp, err := sockets.Ports()
	if err == nil {
		err = b.redirect.Set(udp, tcp)
	}
	if err != nil {
		sockets.Close()
		return nil, err
	}
	return &sockets, nil
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
	var sockets *dns.Sockets
	err := netns.Do(b.path, func() (err error) {
		sockets, err = b.open()
		return err
	})
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
	if b != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		rec.Endpoints = b.endpoints
		b.conn.Close()
	} else {
		readRecord(s.sandboxPath(id), &rec)
	}
	hosts := make([]string, 0, len(rec.Endpoints))
	for _, e := range rec.Endpoints {
		hosts = append(hosts, e.Host)
	}
	return errors.Join(s.reaper.Delete(hosts...), netns.Remove(s.netnsPath(id)), removeRecord(s.sandboxPath(id)))
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

// Attach gives a sandbox a place on a network. Attaching again returns the same place.
func (s *Stack) Attach(ctx context.Context, sandboxID string, spec EndpointSpec) (Endpoint, error) {
	s.mu.Lock()
	b, n := s.sandboxes[sandboxID], s.nets[spec.Network]
	s.mu.Unlock()
	if b == nil {
		return Endpoint{}, fmt.Errorf("sandbox %.12s: %w", sandboxID, ErrNoSandbox)
	}
	if n == nil {
		return Endpoint{}, fmt.Errorf("%s: %w", spec.Network, ErrNoNetwork)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.endpoints {
		if e.Endpoint.Network == spec.Network {
			return e.Endpoint, nil
		}
	}
	e, err := s.place(b, n, spec)
	if err != nil {
		return Endpoint{}, err
	}
	if err := s.wire(b, n, &e); err != nil {
		return Endpoint{}, errors.Join(err, s.unplace(b, n, e))
	}
	return e.Endpoint, nil
}

// place chooses addresses, MAC and interface name.
func (s *Stack) place(b *Sandbox, n *netState, spec EndpointSpec) (endpointRecord, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := endpointRecord{Spec: spec, Endpoint: Endpoint{Network: n.Name, Gateway: n.Gateway(), IfName: spec.IfName}}
	if e.Endpoint.IfName == "" {
		e.Endpoint.IfName = b.freeIfName()
	}
	if err := b.takeAddresses(n, &e); err != nil {
		for _, l := range n.leases {
			l.Release(b.id)
		}
		return e, err
	}
	first := e.Endpoint.IPv4.Addr()
	if !first.IsValid() {
		first = e.Endpoint.IPv6.Addr()
	}
	mac := net.HardwareAddr(stableMAC(first))
	if spec.MAC != "" {
		var err error
		if mac, err = net.ParseMAC(spec.MAC); err != nil || len(mac) != 6 {
			return e, fmt.Errorf("mac_address %q is not one", spec.MAC)
		}
	}
	e.Endpoint.MAC = mac.String()
	s.saver.Save(n.Name)
	return e, nil
}

func (b *Sandbox) takeAddresses(n *netState, e *endpointRecord) error {
	want := map[bool]netip.Addr{false: e.Spec.IPv4, true: e.Spec.IPv6}
	got := map[bool]netip.Prefix{}
	for _, v6 := range []bool{false, true} {
		var last error
		for _, l := range n.leases {
			subnet := l.Pool().Subnet
			if subnet.Addr().Is6() != v6 || got[v6].IsValid() {
				continue
			}
			a, err := l.Take(e.Spec.Key, b.id, want[v6])
			if err != nil {
				last = err
				continue
			}
			got[v6] = netip.PrefixFrom(a, subnet.Bits())
		}
		if !got[v6].IsValid() && (last != nil || want[v6].IsValid()) {
			return cmp.Or(last, fmt.Errorf("address %s: network %s has no such subnet", want[v6], n.Name))
		}
	}
	e.Endpoint.IPv4, e.Endpoint.IPv6 = got[false], got[true]
	return nil
}

func (b *Sandbox) freeIfName() string {
	for i := 0; ; i++ {
		name := fmt.Sprintf("eth%d", i)
		if !slices.ContainsFunc(b.endpoints, func(e endpointRecord) bool { return e.Endpoint.IfName == name }) {
			return name
		}
	}
}

func (b *Sandbox) on(network string) bool {
	return slices.ContainsFunc(b.endpoints, func(e endpointRecord) bool { return e.Endpoint.Network == network })
}

// unplace takes back what place and wire did.
func (s *Stack) unplace(b *Sandbox, n *netState, e endpointRecord) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range n.leases {
		l.Release(b.id)
	}
	b.endpoints = slices.DeleteFunc(b.endpoints, func(x endpointRecord) bool { return x.Endpoint.Network == n.Name })
	if e.Host == "" {
		return nil
	}
	return s.reaper.Delete(e.Host)
}

// wire makes the interface and configures it.
func (s *Stack) wire(b *Sandbox, n *netState, e *endpointRecord) error {
	mac, err := net.ParseMAC(e.Endpoint.MAC)
	if err != nil {
		return err
	}
	ns, err := unix.Open(b.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", b.path, err)
	}
	defer unix.Close(ns)
	for salt := 0; ; salt++ {
		e.Host = vethName(s.cfg.Tag, b.id, e.Endpoint.IfName, salt)
		err := s.host.Run(rtnl.AddVeth(rtnl.Veth{
			Host: e.Host, Master: n.Index, MTU: n.MTU, Namespace: ns, Name: e.Endpoint.IfName, MAC: mac,
		}), rtnl.SetPort(rtnl.Link{Name: e.Host}))
		if errors.Is(err, unix.EEXIST) && salt < 8 {
			continue
		}
		if err != nil {
			e.Host = ""
			return err
		}
		break
	}
	index, err := b.conn.Index(e.Endpoint.IfName)
	if err != nil {
		return err
	}
	var local *rtnl.LocalRoutes
	if e.Endpoint.IPv6.IsValid() {
		if local, err = b.enableIPv6(e.Endpoint.IfName); err != nil {
			return err
		}
		defer local.Close()
	}
	b.endpoints = append(b.endpoints, *e)
	ops := []rtnl.Op{rtnl.SetUp(rtnl.Link{Index: index, Name: e.Endpoint.IfName})}
	for _, p := range []netip.Prefix{e.Endpoint.IPv4, e.Endpoint.IPv6} {
		if p.IsValid() {
			ops = append(ops, rtnl.AddAddr(index, p))
		}
	}
	s.mu.Lock()
	routes := s.routes(b)
	s.mu.Unlock()
	for v6, gw := range routes {
		if b.route[v6] != gw {
			if via := s.viaIndex(b, gw, e, index); via != 0 {
				ops = append(ops, rtnl.DefaultRoute(via, gw, 0))
			}
		}
	}
	if err := b.conn.Run(ops...); err != nil {
		return err
	}
	if err := s.settle(b, n, e, local); err != nil {
		return err
	}
	b.route = routes
	if !b.cfg.NoDNS {
		s.dns.SetView(b.id, s.view(b))
	}
	return writeRecord(s.sandboxPath(b.id), sandboxRecord{Version: recordVersion, Endpoints: b.endpoints})
}

// settle waits until both ends of a new interface pass packets, which the kernel
// sees to from work queues. local is nil without IPv6.
func (s *Stack) settle(b *Sandbox, n *netState, e *endpointRecord, local *rtnl.LocalRoutes) error {
	if local == nil {
		return errors.Join(b.conn.Settle(e.Endpoint.IfName), s.host.Settle(e.Host, n.Bridge))
	}
	here, err := rtnl.WatchLocalRoutes()
	if err != nil {
		return err
	}
	defer here.Close()
	if err := errors.Join(b.conn.Settle(e.Endpoint.IfName), s.host.Settle(e.Host, n.Bridge)); err != nil {
		return err
	}
	if err := local.Await(e.Endpoint.IPv6.Addr()); err != nil {
		return err
	}
	// The bridge's own address becomes usable with its first port.
	for _, p := range n.Pools {
		if !p.Gateway.Is6() {
			continue
		}
		if r, err := netlink.RouteGet(p.Gateway.AsSlice()); err == nil && len(r) > 0 && r[0].Type == unix.RTN_LOCAL {
			continue
		}
		if err := here.Await(p.Gateway); err != nil {
			return err
		}
	}
	return nil
}

// enableIPv6 prepares an interface for its IPv6 address.
func (b *Sandbox) enableIPv6(ifname string) (local *rtnl.LocalRoutes, err error) {
	err = netns.Do(b.path, func() (err error) {
		if err := writeSysctl("ipv6/conf/"+ifname+"/disable_ipv6", "0"); err != nil {
			return err
		}
		local, err = rtnl.WatchLocalRoutes()
		return err
	})
	return local, err
}

// viaIndex is the interface behind which gw lies: the new one, as the default
// route only ever moves to the endpoint being attached.
func (s *Stack) viaIndex(b *Sandbox, gw netip.Addr, e *endpointRecord, index int) int {
	if e.Endpoint.IPv4.IsValid() && e.Endpoint.IPv4.Masked().Contains(gw) || e.Endpoint.IPv6.IsValid() && e.Endpoint.IPv6.Masked().Contains(gw) {
		return index
	}
	return 0
}

// routes chooses the default gateway of each family: the highest gw_priority,
// then the first network by name, as Docker does. Internal networks lead
// nowhere. Called with Stack.mu held.
func (s *Stack) routes(b *Sandbox) map[bool]netip.Addr {
	out := map[bool]netip.Addr{}
	best := slices.Clone(b.endpoints)
	slices.SortStableFunc(best, func(x, y endpointRecord) int {
		return cmp.Or(cmp.Compare(y.Spec.GWPriority, x.Spec.GWPriority), cmp.Compare(x.Endpoint.Network, y.Endpoint.Network))
	})
	for _, e := range best {
		n := s.nets[e.Endpoint.Network]
		if n == nil || n.Internal {
			continue
		}
		for _, p := range n.Pools {
			v6 := p.Gateway.Is6()
			has := e.Endpoint.IPv4
			if v6 {
				has = e.Endpoint.IPv6
			}
			if _, ok := out[v6]; !ok && has.IsValid() && p.Subnet.Contains(has.Addr()) {
				out[v6] = p.Gateway
			}
		}
	}
	return out
}

// hostGateway is where a sandbox reaches the host: its default gateway, or the
// gateway of an internal network.
func (s *Stack) hostGateway(b *Sandbox) netip.Addr {
	if gw, ok := b.route[false]; ok {
		return gw
	}
	for _, e := range b.endpoints {
		return e.Endpoint.Gateway
	}
	return b.route[true]
}

// view is what a sandbox's resolver answers from. Called with b.mu held or
// before b is shared.
func (s *Stack) view(b *Sandbox) *dns.View {
	v := &dns.View{Names: map[string][]netip.Addr{}}
	ends := slices.Clone(b.endpoints)
	slices.SortStableFunc(ends, func(x, y endpointRecord) int { return cmp.Compare(y.Spec.Priority, x.Spec.Priority) })
	for _, e := range ends {
		v.Networks = append(v.Networks, e.Endpoint.Network)
	}
	v.Closed = len(ends) > 0 && len(b.route) == 0
	host := s.hostGateway(b)
	if host.IsValid() {
		v.Names["host.docker.internal"] = []netip.Addr{host}
	}
	for name, addrs := range b.names {
		v.Names[strings.ToLower(name)] = addrs
	}
	for name, addrs := range b.cfg.ExtraHosts {
		var known []netip.Addr
		for _, a := range addrs {
			if !a.IsValid() {
				a = host
			}
			if a.IsValid() {
				known = append(known, a)
			}
		}
		v.Names[strings.ToLower(name)] = known
	}
	for _, a := range b.cfg.Nameservers {
		v.Upstream = append(v.Upstream, netip.AddrPortFrom(a, 53))
	}
	return v
}
