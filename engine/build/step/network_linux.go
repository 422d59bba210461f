package step

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"devstack/engine/container"
	"devstack/engine/spec"
	"devstack/network"
)

// NetworkName is the network of builds.
const NetworkName = "devstack-build"

// Network gives commands their place: the network of builds exists while
// somebody holds it.
type Network struct {
	*networkState
}

type networkState struct {
	stack *network.Stack

	mu    sync.Mutex // guards users and timer
	users int
	timer *time.Timer // runs while nobody uses what was applied

	change  sync.Mutex // one change of the network itself; before mu
	applied bool
}

// linger is how long the network outlives the last build: deleting its bridge
// costs 20-40 ms, and making it again 10, of the next build's time.
const linger = 5 * time.Second

// NewNetwork is for builds that reach the world through stack.
func NewNetwork(stack *network.Stack) Network { return Network{&networkState{stack: stack}} }

// Hold keeps the network of builds, once it was needed, until release.
func (n Network) Hold() (release func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.users++
	if n.timer != nil {
		n.timer.Stop()
	}
	return sync.OnceFunc(func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.users--; n.users == 0 {
			n.timer = time.AfterFunc(linger, n.removeUnused)
		}
	})
}

func (n Network) removeUnused() {
	n.change.Lock()
	defer n.change.Unlock()
	n.mu.Lock()
	used := n.users > 0
	n.mu.Unlock()
	if used || !n.applied {
		return
	}
	if n.stack.Remove(context.Background(), NetworkName) == nil {
		n.applied = false
	}
}

// Close removes the network at once. Nobody may hold it.
func (n Network) Close() {
	n.mu.Lock()
	if n.timer != nil {
		n.timer.Stop()
	}
	n.mu.Unlock()
	n.removeUnused()
}

func (n Network) ensure(ctx context.Context) error {
	n.change.Lock()
	defer n.change.Unlock()
	if n.applied {
		return nil
	}
	if _, err := n.stack.Apply(ctx, network.Spec{Name: NetworkName}); err != nil {
		return fmt.Errorf("make network of builds: %w", err)
	}
	n.applied = true
	return nil
}

// netPlace is a command's place on the network.
type netPlace struct {
	path   string // of the namespace; "" is the host's
	resolv []byte
	host   netip.Addr // what host-gateway means
	leave  func(context.Context) error
}

func (n Network) join(ctx context.Context, id string, c *Command) (_ *netPlace, err error) {
	if c.Network == "host" {
		resolv, _ := os.ReadFile("/etc/resolv.conf")
		return &netPlace{
			resolv: resolv, host: netip.AddrFrom4([4]byte{127, 0, 0, 1}),
			leave: func(context.Context) error { return nil },
		}, nil
	}
	cfg := network.SandboxConfig{NoDNS: c.Network == "none", ExtraHosts: map[string][]netip.Addr{}}
	if err := extraHosts(c.ExtraHosts, cfg.ExtraHosts); err != nil {
		return nil, err
	}
	box, err := n.stack.CreateSandbox(ctx, id, cfg)
	if err != nil {
		return nil, err
	}
	p := &netPlace{path: box.Path(), leave: func(ctx context.Context) error { return n.stack.RemoveSandbox(ctx, id) }}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.leave(context.WithoutCancel(ctx)))
		}
	}()
	if c.Network == "none" {
		return p, nil
	}
	p.resolv = box.ResolvConf()
	name := c.Network
	if name == "" || name == "default" {
		name = NetworkName
		if err := n.ensure(ctx); err != nil {
			return nil, err
		}
	}
	at, err := n.stack.Attach(ctx, id, network.EndpointSpec{Network: name})
	if err != nil {
		return nil, fmt.Errorf("join network %s: %w", name, err)
	}
	p.host = at.Gateway
	return p, nil
}

func extraHosts(in map[string][]string, out map[string][]netip.Addr) error {
	for name, texts := range in {
		for _, text := range texts {
			var addr netip.Addr // not valid: the host
			if text != "host-gateway" {
				var err error
				if addr, err = netip.ParseAddr(strings.Trim(text, "[]")); err != nil {
					return fmt.Errorf("extra host %s: %w", name, err)
				}
			}
			out[name] = append(out[name], addr)
		}
	}
	return nil
}

// files are the command's /etc/hosts and /etc/resolv.conf. Its address is not
// among the names, as it differs from build to build: it is its own loopback.
func (p *netPlace) files(c *Command) []container.File {
	extra, err := spec.ExtraHosts(c.ExtraHosts, p.host)
	if err != nil {
		extra = nil // join has looked at them
	}
	self := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	return []container.File{
		{Path: "/etc/hosts", Data: spec.HostsFile(c.Hostname, "", self, extra), Mode: 0o644},
		{Path: "/etc/resolv.conf", Data: p.resolv, Mode: 0o644},
	}
}
