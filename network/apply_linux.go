package network

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"devstack/network/dns"
	"devstack/network/ipam"
	"devstack/network/nat"
	"devstack/network/rtnl"
)

// Driver options that are honoured, by Docker's names.
const (
	optionMTU        = "com.docker.network.driver.mtu"
	optionICC        = "com.docker.network.bridge.enable_icc"
	optionMasquerade = "com.docker.network.bridge.enable_ip_masquerade"
)

const defaultBits = 24

// defaultMTU is Ethernet's.
const defaultMTU = 1500

// mtuOf is what the file says, else what the way out can carry: packets that
// are too large for a tunnel upstream would be lost wherever ICMP is.
func mtuOf(spec Spec) int {
	if n, err := strconv.Atoi(spec.Options[optionMTU]); err == nil && n > 0 {
		return n
	}
	routes, err := netlink.RouteGet(net.IPv4(198, 41, 0, 4)) // nothing is sent
	if err != nil || len(routes) == 0 {
		return defaultMTU
	}
	link, err := net.InterfaceByIndex(routes[0].LinkIndex)
	if err != nil {
		return defaultMTU
	}
	return min(defaultMTU, link.MTU)
}

// Apply makes sure of a network: bridge, addresses, rules. Subnets that were
// chosen once are kept.
func (s *Stack) Apply(ctx context.Context, spec Spec) (Network, error) {
	if err := checkSpec(spec); err != nil {
		return Network{}, err
	}
	s.applying.Lock()
	defer s.applying.Unlock()
	if err := ctx.Err(); err != nil {
		return Network{}, err
	}
	n, err := s.desired(spec)
	if err != nil {
		return Network{}, err
	}
	if err := s.applyBridge(n); err != nil {
		return Network{}, fmt.Errorf("network %s: %w", spec.Name, err)
	}
	s.mu.Lock()
	n.applied = true
	s.nets[spec.Name] = n
	s.mu.Unlock()
	s.saver.Save(spec.Name)
	if err := s.applyRules(); err != nil {
		return Network{}, fmt.Errorf("network %s: %w", spec.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return n.Network, nil
}

func checkSpec(spec Spec) error {
	if err := checkName("network", spec.Name); err != nil {
		return err
	}
	if spec.Driver != "" && spec.Driver != "bridge" {
		return fmt.Errorf("network %s: driver %q is not available, only bridge is", spec.Name, spec.Driver)
	}
	return nil
}

// desired is the network as it will be: the one known, where its subnets still
// fit what is declared, or a new one.
func (s *Stack) desired(spec Spec) (*netState, error) {
	s.mu.Lock()
	old := s.nets[spec.Name]
	s.mu.Unlock()
	if old != nil && fits(spec, old) {
		s.mu.Lock()
		defer s.mu.Unlock()
		old.Spec = spec
		if _, set := spec.Options[optionMTU]; set {
			old.MTU = mtuOf(spec)
		}
		return old, nil
	}
	if old != nil && s.attached(spec.Name) {
		return nil, fmt.Errorf("network %s: its subnets changed: %w", spec.Name, ErrInUse)
	}
	if old != nil { // its bridge carries the addresses of other subnets
		if err := s.reaper.Delete(old.Bridge); err != nil {
			return nil, fmt.Errorf("network %s: %w", spec.Name, err)
		}
	}
	pools, err := s.choose(spec)
	if err != nil {
		return nil, fmt.Errorf("network %s: %w", spec.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newState(spec, pools, nil)
}

// fits reports whether every declared pool is there, and a pool for each family.
func fits(spec Spec, n *netState) bool {
	for _, want := range spec.Pools {
		found := false
		for i, have := range n.Pools {
			if !want.Subnet.IsValid() || want.Subnet.Masked() == have.Subnet {
				found = found || samePool(want, n.leases[i].Pool())
			}
		}
		if !found {
			return false
		}
	}
	if len(spec.Pools) == 0 && len(n.Spec.Pools) != 0 || spec.NoIPv4 != n.NoIPv4 {
		return false
	}
	return !spec.IPv6 || hasFamily(n.Pools, true)
}

func samePool(want, have Pool) bool {
	if want.Gateway.IsValid() && want.Gateway != have.Gateway {
		return false
	}
	if want.Range.IsValid() && want.Range.Masked() != have.Range {
		return false
	}
	for k, a := range want.Aux {
		if have.Aux[k] != a {
			return false
		}
	}
	return len(want.Aux) == len(have.Aux)
}

func hasFamily(pools []Pool, v6 bool) bool {
	for _, p := range pools {
		if p.Subnet.Addr().Is6() == v6 {
			return true
		}
	}
	return false
}

// choose fills in what the file leaves open.
func (s *Stack) choose(spec Spec) ([]Pool, error) {
	taken, err := s.taken(spec.Name)
	if err != nil {
		return nil, err
	}
	var pools []Pool
	for _, p := range spec.Pools {
		if p.Subnet.IsValid() {
			for _, n := range s.List() {
				for _, other := range n.Pools {
					if n.Name != spec.Name && other.Subnet.Overlaps(p.Subnet) {
						return nil, fmt.Errorf("subnet %s overlaps %s of network %s", p.Subnet, other.Subnet, n.Name)
					}
				}
			}
		} else {
			if p.Subnet, err = free(taken); err != nil {
				return nil, err
			}
		}
		taken = append(taken, p.Subnet)
		pools = append(pools, p)
	}
	if !hasFamily(pools, false) && !(spec.NoIPv4 && spec.IPv6) {
		subnet, err := free(taken)
		if err != nil {
			return nil, err
		}
		pools = append(pools, Pool{Subnet: subnet})
	}
	if spec.IPv6 && !hasFamily(pools, true) {
		sum := sha256.Sum256([]byte(s.cfg.Tag + "/" + spec.Name))
		pools = append(pools, Pool{Subnet: ipam.UniqueLocal([8]byte(sum[:8]))})
	}
	return pools, nil
}

func free(taken []netip.Prefix) (netip.Prefix, error) {
	p, ok := ipam.Free(ipam.Candidates(), defaultBits, taken)
	if !ok {
		return p, errors.New("no free subnet left")
	}
	return p, nil
}

// taken is what new subnets must keep clear of: routes and addresses of the
// host, its resolvers, and our other networks, also those not up now.
func (s *Stack) taken(except string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, n := range s.List() {
		if n.Name != except {
			out = append(out, n.Subnets()...)
		}
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	for _, r := range routes {
		if p, ok := prefixOf(r.Dst); ok && p.Bits() > 0 {
			out = append(out, p)
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		if ipnet, ok := a.(*net.IPNet); ok {
			if p, ok := prefixOf(ipnet); ok {
				out = append(out, p)
			}
		}
	}
	for _, r := range (&dns.Host{}).Servers() {
		out = append(out, netip.PrefixFrom(r.Addr(), r.Addr().BitLen()))
	}
	return out, nil
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	if a = a.Unmap(); !ok || ones > a.BitLen() {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, ones), true
}

func (s *Stack) applyBridge(n *netState) error {
	err := s.host.Run(rtnl.AddBridge(rtnl.Bridge{Name: n.Bridge, MAC: bridgeMAC(n.Bridge), MTU: n.MTU}).Accept(unix.EEXIST))
	if err != nil {
		return err
	}
	if n.Index, err = s.host.Index(n.Bridge); err != nil {
		return err
	}
	if err := s.bridgeSysctls(n); err != nil {
		return err
	}
	ops := []rtnl.Op{rtnl.SetUp(rtnl.Link{Index: n.Index, Name: n.Bridge})}
	for _, p := range n.Pools {
		ops = append(ops, rtnl.AddAddr(n.Index, netip.PrefixFrom(p.Gateway, p.Subnet.Bits())))
	}
	return s.host.Run(ops...)
}

// applyRules states the rules of all networks that are up, and forwarding.
func (s *Stack) applyRules() error {
	nets, v6 := s.ruled()
	if len(nets) > 0 {
		if err := s.forwarding(v6); err != nil {
			return err
		}
	}
	return s.nat.ApplyNetworks(nets)
}

// ruled are the networks that are up, as the rules want them.
func (s *Stack) ruled() (nets []nat.Network, routedV6 bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.nets {
		if n.applied {
			routedV6 = routedV6 || hasFamily(n.Pools, true) && !n.Internal
			nets = append(nets, nat.Network{
				Bridge: n.Bridge, Subnets: n.Subnets(), Internal: n.Internal,
				Isolated: n.Options[optionICC] == "false", Masquerade: n.Options[optionMasquerade] != "false",
			})
		}
	}
	slices.SortFunc(nets, func(a, b nat.Network) int { return strings.Compare(a.Bridge, b.Bridge) })
	return nets, routedV6
}

// Remove deletes a network. Its subnets and sticky addresses are forgotten.
func (s *Stack) Remove(ctx context.Context, name string) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.mu.Lock()
	n := s.nets[name]
	s.mu.Unlock()
	if n == nil {
		return fmt.Errorf("%s: %w", name, ErrNoNetwork)
	}
	if s.attached(name) {
		return fmt.Errorf("%s: %w", name, ErrInUse)
	}
	if err := s.reaper.Delete(n.Bridge); err != nil {
		return fmt.Errorf("network %s: %w", name, err)
	}
	s.recording.Lock()
	s.mu.Lock()
	delete(s.nets, name)
	s.mu.Unlock()
	err := removeRecord(s.networkPath(name))
	s.recording.Unlock()
	s.dns.SetNames(name, nil)
	return errors.Join(err, s.applyRules())
}

func (s *Stack) attached(network string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.sandboxes {
		if b.on(network) {
			return true
		}
	}
	return false
}
