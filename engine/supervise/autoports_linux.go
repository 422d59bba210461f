package supervise

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"devstack/compose"
	"devstack/network"
	"devstack/network/publish"
)

// With x-devstack.ports: auto a published port that is taken gives way to
// another one. Which, follows from the names of project, service and port, so
// it is the same each time; and a container keeps the one it had.

// alternatives are ports for one that is taken.
type alternatives struct {
	last uint16 // where it was published before; 0: nowhere
	key  string
}

// The ports that alternatives come from: below those that the kernel gives to
// clients (net.ipv4.ip_local_port_range begins at 32768).
const (
	firstAlternative, lastAlternative = 20000, 32000
	maxAlternatives                   = 64
)

// alternatives are nil where only the declared port will do.
func (p *Project) alternatives(s *compose.Service, i, number int, owner, key string) *alternatives {
	if !s.AutoPorts() {
		return nil
	}
	a := &alternatives{key: key}
	if owner != "" {
		return a
	}
	for _, u := range p.ServiceUnits(s.Name) {
		rec := u.Record()
		if i < len(rec.Published) && i < len(rec.Declared.Ports) && portKey(p.Name, &rec.Declared, i, rec.Number, "") == key {
			a.last = rec.Published[i].HostPort
		}
	}
	return a
}

// all are the ports to try, best first. The key's hash says where they begin.
func (a *alternatives) all() []uint16 {
	h := fnv.New32a()
	h.Write([]byte(a.key))
	const size = lastAlternative - firstAlternative
	var out []uint16
	for n := range uint32(maxAlternatives) {
		out = append(out, uint16(firstAlternative+(h.Sum32()%size+n)%size))
	}
	return out
}

// publishAt opens the port of spec, or the first of others that is free.
func (m *Machine) publishAt(ctx context.Context, spec network.PublishSpec, others *alternatives) (network.Published, error) {
	if others == nil {
		return m.Network.Publish(ctx, spec)
	}
	tries := others.all()
	anyPort := spec.HostPort == 0
	if !anyPort {
		tries = slices.Insert(tries, 0, 0) // the declared one, or range
	}
	if others.last != 0 {
		tries = slices.Insert(tries, 0, others.last)
	}
	var first error
	for _, n := range tries {
		s := spec
		if n != 0 {
			s.HostPort, s.HostPortEnd = n, n
		}
		at, err := m.Network.Publish(ctx, s)
		if _, taken := errors.AsType[*publish.TakenError](err); err == nil || !taken {
			return at, err
		}
		if first == nil {
			first = err
		}
	}
	return network.Published{}, fmt.Errorf("%w, and so are %d others", first, maxAlternatives)
}

// portVariables tell the containers of a project with automatic ports where
// each is published: DEVSTACK_PORT_WEB_80=20123.
func (p *Project) portVariables() []string {
	declared, _ := p.Declared()
	if declared == nil {
		return nil
	}
	p.m.ports.mu.Lock()
	defer p.m.ports.mu.Unlock()
	var out []string
	for _, name := range declared.ServiceNames() {
		s := declared.Services[name]
		if !s.AutoPorts() {
			continue
		}
		for i := range s.Ports {
			if at, ok := p.m.ports.open[portKey(p.Name, &s, i, 1, "")]; ok {
				out = append(out, fmt.Sprintf("%s=%d", PortVariable(name, s.Ports[i]), at.HostPort))
			}
		}
	}
	return out
}

// PortVariable is the name of the variable that tells where a port is
// published.
func PortVariable(service string, port compose.Port) string {
	name := strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(service))
	name = fmt.Sprintf("DEVSTACK_PORT_%s_%d", name, port.Target)
	if protocol(port) != "tcp" {
		name += "_" + strings.ToUpper(protocol(port))
	}
	return name
}
