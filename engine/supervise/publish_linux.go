package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/state"
	"devstack/network"
	"devstack/network/publish"
)

// PortError is a port that cannot be published; Index is its place in the
// service's ports.
type PortError struct {
	Service string
	Index   int
	Err     error
}

func (e *PortError) Error() string { return e.Err.Error() }

func (e *PortError) Unwrap() error { return e.Err }

// portKey names one listening socket. Replicas of a service share a port with
// a fixed number; from a range, or where the number is free, each has its own.
func portKey(project string, s *compose.Service, i, number int, owner string) string {
	p := s.Ports[i]
	key := fmt.Sprintf("%s/%s/%d/%s/%s/%s", project, s.Name, p.Target, protocol(p), p.HostIP, p.Published)
	if owner != "" {
		return key + "/" + owner
	}
	if sharedPort(p) {
		return key
	}
	return key + "/" + strconv.Itoa(number)
}

func sharedPort(p compose.Port) bool {
	return p.Published != "" && !strings.Contains(p.Published, "-")
}

func protocol(p compose.Port) string {
	if p.Protocol == "" {
		return "tcp"
	}
	return p.Protocol
}

// publishSpec is what the network has to open for port i of s.
func (p *Project) publishSpec(s *compose.Service, i, number int, owner string) (network.PublishSpec, error) {
	port := s.Ports[i]
	// Without an address the network chooses: loopback, IPv4 and IPv6.
	hold := p.holdOf(s)
	spec := network.PublishSpec{
		Key: portKey(p.Name, s, i, number, owner), Proto: protocol(port), Project: p.Name,
		Hold: publish.Hold{Off: hold.Off, Timeout: hold.Timeout, Connections: hold.Connections},
	}
	if port.HostIP != "" {
		addr, err := netip.ParseAddr(strings.Trim(port.HostIP, "[]"))
		if err != nil {
			return spec, fmt.Errorf("host address %q: %w", port.HostIP, err)
		}
		spec.HostIP = addr
	}
	var err error
	spec.HostPort, spec.HostPortEnd, err = HostPorts(port)
	return spec, err
}

// HostPorts are the ports of the host that a port may be published at; 0 where
// that is left open.
func HostPorts(port compose.Port) (first, last uint16, err error) {
	if port.Published == "" {
		return 0, 0, nil
	}
	low, high, isRange := strings.Cut(port.Published, "-")
	if !isRange {
		high = low
	}
	from, errFrom := strconv.ParseUint(low, 10, 16)
	to, errTo := strconv.ParseUint(high, 10, 16)
	if err := cmp.Or(errFrom, errTo); err != nil {
		return 0, 0, fmt.Errorf("published port %q: %w", port.Published, err)
	}
	return uint16(from), uint16(to), nil
}

// Publish opens the listening sockets of one container of s, in advance of
// its start, and says where. It is repeatable. On an error nothing that was
// opened by this call stays open.
func (p *Project) Publish(ctx context.Context, s *compose.Service, number int, owner string) ([]api.Port, error) {
	if s.NetworkMode == netHost {
		return nil, nil
	}
	var out []api.Port
	var opened []string
	for i, port := range s.Ports {
		spec, err := p.publishSpec(s, i, number, owner)
		var at network.Published
		fresh := false
		if err == nil {
			at, fresh, err = p.m.openPort(ctx, spec, p.alternatives(s, i, number, owner, spec.Key))
		}
		if err != nil {
			for _, key := range opened {
				p.m.warn(p.m.closePort(key))
			}
			return nil, &PortError{Service: s.Name, Index: i, Err: err}
		}
		if fresh {
			opened = append(opened, spec.Key)
		}
		out = append(out, api.Port{HostIP: at.HostIP.String(), HostPort: at.HostPort, ContainerPort: uint16(port.Target), Protocol: protocol(port)})
	}
	return out, nil
}

// Republish is Publish for a container that had its ports before: it gets the
// same ones again, where it can.
func (p *Project) Republish(ctx context.Context, rec *state.Container) ([]api.Port, error) {
	for i := range min(len(rec.Declared.Ports), len(rec.Published)) {
		spec, err := p.publishSpec(&rec.Declared, i, rec.Number, portOwner(rec))
		if err != nil {
			return nil, err
		}
		spec.HostPort, spec.HostPortEnd = rec.Published[i].HostPort, rec.Published[i].HostPort
		_, _, _ = p.m.openPort(ctx, spec, nil) // Publish says what is wrong, or finds another
	}
	return p.Publish(ctx, &rec.Declared, rec.Number, portOwner(rec))
}

// refreshBackends points the published ports of service at the containers
// that run now. Where none does, connections are held.
func (p *Project) refreshBackends(service string) {
	backends := map[string][]netip.AddrPort{}
	for _, u := range p.Units() {
		if u.service != service {
			continue
		}
		rec := u.Record()
		for i, port := range rec.Declared.Ports {
			if len(rec.Published) == 0 {
				continue
			}
			key := portKey(p.Name, &rec.Declared, i, rec.Number, portOwner(&rec))
			backends[key] = append(backends[key], u.backends(&rec, port)...)
		}
	}
	for key, to := range backends {
		p.m.Network.SetBackends(key, to)
	}
}

// portOwner sets the sockets of a one-off container apart from the service's.
func portOwner(rec *state.Container) string {
	if rec.OneOff {
		return rec.Name
	}
	return ""
}

func (u *Unit) backends(rec *state.Container, port compose.Port) []netip.AddrPort {
	if !u.takesClients(rec) {
		return nil
	}
	owner, err := u.networkOwner()
	if err != nil {
		return nil
	}
	at := owner.Record()
	for _, a := range addrs(&at, "") {
		if a.Is4() {
			return []netip.AddrPort{netip.AddrPortFrom(a, uint16(port.Target))}
		}
	}
	for _, a := range addrs(&at, "") {
		return []netip.AddrPort{netip.AddrPortFrom(a, uint16(port.Target))}
	}
	return nil
}

// openPort publishes a port, or says where it is published already. Where it
// is taken, others are tried in their order.
func (m *Machine) openPort(ctx context.Context, spec network.PublishSpec, others *alternatives) (at network.Published, fresh bool, err error) {
	m.ports.mu.Lock()
	defer m.ports.mu.Unlock()
	was, open := m.ports.open[spec.Key]
	if open && others != nil {
		spec.HostPort, spec.HostPortEnd = was.HostPort, was.HostPort
		others = &alternatives{key: spec.Key} // where it is open counts, not where it was
	}
	// It may have been automatic until now.
	if moved := open && others == nil && spec.HostPort != 0 && (was.HostPort < spec.HostPort || was.HostPort > max(spec.HostPort, spec.HostPortEnd)); moved {
		m.warn(m.Network.Unpublish(spec.Key))
		delete(m.ports.open, spec.Key)
		open = false
	}
	at, err = m.publishAt(ctx, spec, others)
	if err != nil {
		return at, false, err
	}
	if m.ports.open == nil {
		m.ports.open = map[string]network.Published{}
	}
	m.ports.open[spec.Key] = at
	return at, !open, nil
}

func (m *Machine) closePort(key string) error {
	m.ports.mu.Lock()
	defer m.ports.mu.Unlock()
	delete(m.ports.open, key)
	return m.Network.Unpublish(key)
}

// closePorts closes every port below prefix that is not in use. used is asked
// while nobody can open one.
func (m *Machine) closePorts(prefix string, used func() map[string]bool) error {
	m.ports.mu.Lock()
	defer m.ports.mu.Unlock()
	inUse := used()
	var errs []error
	for key := range m.ports.open {
		if strings.HasPrefix(key, prefix) && !inUse[key] {
			delete(m.ports.open, key)
			errs = append(errs, m.Network.Unpublish(key))
		}
	}
	return errors.Join(errs...)
}

// openPorts are the ports that are published now, by their keys.
type openPorts struct {
	mu   sync.Mutex
	open map[string]network.Published
}
