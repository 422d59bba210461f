package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/state"
	"devstack/network"
)

// Modes of network_mode.
const (
	netHost = "host"
	netNone = "none"
)

// ownSandbox reports whether a service's containers have a network namespace
// of their own.
func ownSandbox(s *compose.Service) bool {
	return s.NetworkMode != netHost && sharedNetwork(s) == ""
}

// sharedNetwork is the service or container whose network s uses, with its
// prefix, or "".
func sharedNetwork(s *compose.Service) string {
	if strings.HasPrefix(s.NetworkMode, "service:") || strings.HasPrefix(s.NetworkMode, "container:") {
		return s.NetworkMode
	}
	return ""
}

// connect gives the container its network namespace and its places on the
// declared networks. useAliases adds the service's own names.
func (u *Unit) connect(ctx context.Context, useAliases bool) error {
	s := &u.rec.Declared
	if !ownSandbox(s) {
		return nil
	}
	cfg, err := sandboxConfig(s)
	if err != nil {
		return err
	}
	if u.sandbox, err = u.m.Network.CreateSandbox(ctx, u.id, cfg); err != nil {
		return err
	}
	if s.NetworkMode == netNone {
		return nil
	}
	declared, _ := u.p.Declared()
	for i, key := range networkOrder(s) {
		n, ok := declared.Networks[key]
		if !ok {
			return fmt.Errorf("network %s is not declared", key)
		}
		mac := ""
		if i == 0 {
			mac = s.MacAddress // a service's own is for its first network only
		}
		ep, err := u.attach(ctx, n.Name, mac, s.Networks[key], useAliases)
		if err != nil {
			return fmt.Errorf("join network %s: %w", n.Name, err)
		}
		u.rec.Endpoints = append(u.rec.Endpoints, ep)
	}
	return nil
}

// networkOrder is the order in which interfaces appear: highest priority
// first, then by name.
func networkOrder(s *compose.Service) []string {
	keys := make([]string, 0, len(s.Networks))
	for k := range s.Networks {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(cmp.Compare(priority(s.Networks[b]), priority(s.Networks[a])), cmp.Compare(a, b))
	})
	return keys
}

func priority(n *compose.ServiceNetwork) int {
	if n == nil {
		return 0
	}
	return n.Priority
}

// attach joins network name; mac is for an endpoint that declares none.
func (u *Unit) attach(ctx context.Context, name, mac string, sn *compose.ServiceNetwork, useAliases bool) (state.Endpoint, error) {
	if sn == nil {
		sn = &compose.ServiceNetwork{}
	}
	spec := network.EndpointSpec{
		Network: name, Key: fmt.Sprintf("%s/%s/%d", u.p.Name, u.service, u.number),
		MAC: cmp.Or(sn.MacAddress, mac), IfName: sn.InterfaceName,
		GWPriority: sn.GWPriority, Priority: sn.Priority,
	}
	if u.oneOff {
		spec.Key = "" // nothing to come back to
	} else {
		for _, a := range []struct {
			text string
			to   *netip.Addr
		}{{sn.IPv4Address, &spec.IPv4}, {sn.IPv6Address, &spec.IPv6}} {
			if a.text == "" {
				continue
			}
			addr, err := netip.ParseAddr(a.text)
			if err != nil {
				return state.Endpoint{}, err
			}
			*a.to = addr
		}
	}
	for _, text := range sn.LinkLocalIPs {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return state.Endpoint{}, fmt.Errorf("link_local_ips: %w", err)
		}
		spec.LinkLocal = append(spec.LinkLocal, addr)
	}
	spec.Sysctls = endpointSysctls(sn.DriverOpts)
	names := []string{u.name, u.id[:12]}
	if useAliases {
		if sn.UseServiceNameAlias == nil || *sn.UseServiceNameAlias {
			names = append(names, u.service)
		}
		names = append(names, sn.Aliases...)
	}
	spec.Aliases = names
	ep, err := u.m.Network.Attach(ctx, u.id, spec)
	if err != nil {
		return state.Endpoint{}, err
	}
	return state.Endpoint{
		Network: name, IPv4: prefixText(ep.IPv4), IPv6: prefixText(ep.IPv6),
		MAC: ep.MAC, IfName: ep.IfName, Names: names,
	}, nil
}

// endpointSysctls are the settings of an interface, by Docker's option for
// them: net.ipv4.conf.IFNAME.log_martians=1,...
func endpointSysctls(options map[string]string) map[string]string {
	out := map[string]string{}
	for entry := range strings.SplitSeq(options[compose.EndpointSysctls], ",") {
		if key, value, ok := strings.Cut(entry, "="); ok {
			out[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return out
}

func prefixText(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}

func sandboxConfig(s *compose.Service) (network.SandboxConfig, error) {
	cfg := network.SandboxConfig{
		Search: s.DNSSearch, Options: s.DNSOpt, NoDNS: s.NetworkMode == netNone,
		ExtraHosts: map[string][]netip.Addr{},
	}
	for _, text := range s.DNS {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return cfg, fmt.Errorf("dns: %w", err)
		}
		cfg.Nameservers = append(cfg.Nameservers, addr)
	}
	for name, addrs := range s.ExtraHosts {
		for _, text := range addrs {
			var addr netip.Addr // not valid: the host
			if text != "host-gateway" {
				var err error
				if addr, err = netip.ParseAddr(strings.Trim(text, "[]")); err != nil {
					return cfg, fmt.Errorf("extra_hosts %s: %w", name, err)
				}
			}
			cfg.ExtraHosts[name] = append(cfg.ExtraHosts[name], addr)
		}
	}
	return cfg, nil
}

// addrs are the container's addresses on network name, or on all for "".
func addrs(rec *state.Container, name string) []netip.Addr {
	var out []netip.Addr
	for _, ep := range rec.Endpoints {
		if name != "" && ep.Network != name {
			continue
		}
		for _, text := range []string{ep.IPv4, ep.IPv6} {
			if p, err := netip.ParsePrefix(text); err == nil {
				out = append(out, p.Addr())
			}
		}
	}
	return out
}

// netnsPath is the network namespace the container joins; "" is the host's.
func (u *Unit) netnsPath() (string, error) {
	shared := sharedNetwork(&u.rec.Declared)
	switch {
	case u.rec.Declared.NetworkMode == netHost:
		return "", nil
	case shared == "":
		return u.sandbox.Path(), nil
	}
	other, err := u.peer(shared)
	if err != nil {
		return "", fmt.Errorf("network_mode %s: %w", shared, err)
	}
	return other.netnsPath()
}

// networkOwner is the container whose network u uses: itself, or another.
func (u *Unit) networkOwner() (*Unit, error) {
	if shared := sharedNetwork(&u.rec.Declared); shared != "" {
		return u.peer(shared)
	}
	return u, nil
}

// peer finds the container that "service:NAME" or "container:NAME" stands for.
func (u *Unit) peer(mode string) (*Unit, error) {
	kind, name, _ := strings.Cut(mode, ":")
	for _, x := range u.p.Units() {
		if x == u || x.oneOff {
			continue
		}
		if kind == "service" && x.service == name || kind == "container" && (x.name == name || x.id == name) {
			return x, nil
		}
	}
	return nil, errors.New("no such container")
}

// announce tells DNS and the published ports what can be reached now.
func (u *Unit) announce() {
	rec := u.Record()
	running := rec.State == api.StateRunning && rec.Replaces == ""
	for _, ep := range rec.Endpoints {
		if !running {
			u.m.names.drop(ep.Network, u.id)
			continue
		}
		u.m.names.put(ep.Network, u.id, nameEntry{
			names: ep.Names, addrs: addrs(&rec, ep.Network),
			ready: rec.Health == "" || rec.Health == api.HealthHealthy,
		})
	}
	u.p.reach.Lock()
	defer u.p.reach.Unlock()
	u.p.refreshLinks(u.service)
	if !u.oneOff || len(rec.Published) > 0 {
		u.p.refreshBackends(u.service)
	}
}

// refreshLinks brings the aliases of `links` to service up to date, and those
// of its own containers.
func (p *Project) refreshLinks(service string) {
	for _, u := range p.Units() {
		s := &u.rec.Declared
		own := u.service == service && len(s.Links)+len(s.ExternalLinks) > 0
		if u.sandboxOpen() != nil && (own || linksTo(s, service)) {
			p.m.Network.SetSandboxNames(u.id, u.linkNames())
		}
	}
}

// linkNames are the names that links and external_links give to others, for
// this container alone.
func (u *Unit) linkNames() map[string][]netip.Addr {
	names := map[string][]netip.Addr{}
	add := func(alias string, rec state.Container) {
		if rec.State == api.StateRunning {
			names[alias] = append(names[alias], addrs(&rec, "")...)
		}
	}
	for _, link := range u.rec.Declared.Links {
		target, alias := linkParts(link)
		for _, rec := range u.p.records(target) {
			add(alias, rec)
		}
	}
	for _, link := range u.rec.Declared.ExternalLinks {
		target, alias := linkParts(link)
		if other := u.m.Find(target); other != nil {
			add(alias, other.Record())
		}
	}
	return names
}

// linkParts splits TARGET[:ALIAS].
func linkParts(link string) (target, alias string) {
	target, alias, ok := strings.Cut(link, ":")
	if !ok {
		alias = target
	}
	return target, alias
}

func linksTo(s *compose.Service, service string) bool {
	return slices.ContainsFunc(s.Links, func(l string) bool {
		target, _, _ := strings.Cut(l, ":")
		return target == service
	})
}

func (u *Unit) sandboxOpen() *network.Sandbox {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sandbox
}

// hostFile reads one of the host's own name files, for host networking.
func hostFile(path string) []byte {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return b
}

// SharesNetwork reports whether a container lives in another's network.
func SharesNetwork(rec *state.Container) bool { return sharedNetwork(&rec.Declared) != "" }
