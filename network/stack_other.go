//go:build !linux

package network

import (
	"context"
	"errors"
	"net/netip"
)

// Stack is not available on this system: every method says so.
type Stack struct{}

// Sandbox is not available on this system.
type Sandbox struct{}

func Open(ctx context.Context, cfg Config) (*Stack, error) { return nil, errors.ErrUnsupported }

func (s *Stack) Close() error    { return errors.ErrUnsupported }
func (s *Stack) Notes() []string { return nil }
func (s *Stack) Apply(ctx context.Context, spec Spec) (Network, error) {
	return Network{}, errors.ErrUnsupported
}
func (s *Stack) Remove(ctx context.Context, name string) error { return errors.ErrUnsupported }
func (s *Stack) Lookup(name string) (Network, bool)            { return Network{}, false }
func (s *Stack) List() []Network                               { return nil }
func (s *Stack) Sweep(ctx context.Context, keepNetwork func(name string) bool, keepSandbox func(id string) bool) error {
	return errors.ErrUnsupported
}

func (s *Stack) CreateSandbox(ctx context.Context, id string, cfg SandboxConfig) (*Sandbox, error) {
	return nil, errors.ErrUnsupported
}

func (s *Stack) OpenSandbox(ctx context.Context, id string, cfg SandboxConfig) (*Sandbox, error) {
	return nil, errors.ErrUnsupported
}
func (s *Stack) RemoveSandbox(ctx context.Context, id string) error { return errors.ErrUnsupported }
func (s *Stack) Attach(ctx context.Context, sandboxID string, spec EndpointSpec) (Endpoint, error) {
	return Endpoint{}, errors.ErrUnsupported
}
func (s *Stack) ForgetKeys(project string)                                {}
func (s *Stack) SetNames(network string, names map[string][]netip.Addr)   {}
func (s *Stack) SetSandboxNames(id string, names map[string][]netip.Addr) {}
func (s *Stack) SetBackends(key string, to []netip.AddrPort)              {}
func (s *Stack) Unpublish(key string) error                               { return errors.ErrUnsupported }

func (s *Stack) Publish(ctx context.Context, p PublishSpec) (Published, error) {
	return Published{}, errors.ErrUnsupported
}

func (b *Sandbox) Path() string       { return "" }
func (b *Sandbox) ResolvConf() []byte { return nil }
