package network

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

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"devstack/network/netns"
	"devstack/network/rtnl"
)

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
	leave := s.enterKernel()
	err = s.wire(b, n, &e)
	leave()
	if err != nil {
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
	if err := b.tune(e); err != nil {
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
	for _, a := range e.Spec.LinkLocal {
		ops = append(ops, rtnl.AddAddr(index, netip.PrefixFrom(a, linkLocalBits(a))))
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

// linkLocalBits is the length of the prefix of a link's own addresses: those of
// RFC 3927 and RFC 4291.
func linkLocalBits(a netip.Addr) int {
	if a.Is6() {
		return 64
	}
	return 16
}

// tune sets what an endpoint wants of its interface, before it is up.
func (b *Sandbox) tune(e *endpointRecord) error {
	settings := map[string]string{}
	for _, a := range e.Spec.LinkLocal {
		if a.Is6() {
			settings["ipv6/conf/"+e.Endpoint.IfName+"/disable_ipv6"] = "0"
		}
	}
	if len(settings)+len(e.Spec.Sysctls) == 0 {
		return nil
	}
	for key, value := range e.Spec.Sysctls {
		path, err := interfaceSysctl(key, e.Endpoint.IfName)
		if err != nil {
			return err
		}
		settings[path] = value
	}
	return netns.Do(b.path, func() error {
		for path, value := range settings {
			if err := os.WriteFile(sysctlRoot+path, []byte(value), 0); err != nil {
				return fmt.Errorf("set sysctl of %s: %w", e.Endpoint.IfName, err)
			}
		}
		return nil
	})
}

// interfaceSysctl is the file of a setting like net.ipv4.conf.IFNAME.log_martians.
// It may be of this interface alone.
func interfaceSysctl(key, ifname string) (string, error) {
	parts := strings.Split(key, ".")
	if len(parts) != 5 || parts[0] != "net" || parts[3] != "IFNAME" || strings.ContainsAny(key, "/ ") {
		return "", fmt.Errorf("sysctl %q is not one of an interface, as net.ipv4.conf.IFNAME.log_martians", key)
	}
	return strings.Join([]string{parts[1], parts[2], ifname, parts[4]}, "/"), nil
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
