package ipam

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
)

var (
	// ErrFull: every address of the range is in use.
	ErrFull = errors.New("no free address")
	// ErrTaken: the address asked for is in use.
	ErrTaken = errors.New("address already in use")
	// ErrOutside: the address asked for is not in the subnet.
	ErrOutside = errors.New("address outside the subnet")
)

// Leases are the addresses of one subnet. Not safe for concurrent use.
type Leases struct {
	pool   Pool
	sticky map[string]netip.Addr // key -> the address it has or had
	used   map[netip.Addr]string // address -> who uses it now
}

// State is what of Leases outlives the process: the sticky addresses.
type State map[string]netip.Addr

// NewLeases checks the pool, fills in its defaults and starts from what was
// remembered.
func NewLeases(p Pool, remembered State) (*Leases, error) {
	p.Subnet = p.Subnet.Masked()
	if !p.Subnet.IsValid() {
		return nil, errors.New("subnet missing")
	}
	if room := p.Subnet.Addr().BitLen() - p.Subnet.Bits(); room < 2 {
		return nil, fmt.Errorf("subnet %s is too small", p.Subnet)
	}
	if !p.Gateway.IsValid() {
		p.Gateway = p.Subnet.Addr().Next()
	}
	if !p.Subnet.Contains(p.Gateway) {
		return nil, fmt.Errorf("gateway %s: %w %s", p.Gateway, ErrOutside, p.Subnet)
	}
	if !p.Range.IsValid() {
		p.Range = p.Subnet
	}
	p.Range = p.Range.Masked()
	if !p.Subnet.Contains(p.Range.Addr()) || p.Range.Bits() < p.Subnet.Bits() {
		return nil, fmt.Errorf("ip_range %s is not inside %s", p.Range, p.Subnet)
	}
	l := &Leases{pool: p, sticky: map[string]netip.Addr{}, used: map[netip.Addr]string{}}
	for key, a := range remembered {
		if p.Subnet.Contains(a) {
			l.sticky[key] = a
		}
	}
	l.used[p.Gateway] = "the gateway"
	for name, a := range p.Aux {
		l.used[a] = "aux address " + name
	}
	return l, nil
}

// Pool returns the pool with its defaults filled in.
func (l *Leases) Pool() Pool { return l.pool }

// Take gives owner an address: want where it is valid, else the one key had,
// else the lowest that nobody has or remembers, else the lowest not in use.
func (l *Leases) Take(key, owner string, want netip.Addr) (netip.Addr, error) {
	if want.IsValid() {
		if !l.assignable(want) {
			return netip.Addr{}, fmt.Errorf("%s: %w %s", want, ErrOutside, l.pool.Subnet)
		}
		if by, taken := l.used[want]; taken && by != owner {
			return netip.Addr{}, fmt.Errorf("%s: %w by %s", want, ErrTaken, by)
		}
		return l.lease(key, owner, want), nil
	}
	if a, ok := l.sticky[key]; ok && key != "" && l.assignable(a) {
		if by, taken := l.used[a]; !taken || by == owner {
			return l.lease(key, owner, a), nil
		}
	}
	remembered := make(map[netip.Addr]bool, len(l.sticky))
	for _, a := range l.sticky {
		remembered[a] = true
	}
	if a, ok := l.lowest(remembered); ok {
		return l.lease(key, owner, a), nil
	}
	if a, ok := l.lowest(nil); ok {
		return l.lease(key, owner, a), nil
	}
	return netip.Addr{}, fmt.Errorf("subnet %s: %w", l.pool.Range, ErrFull)
}

// Release ends every use by owner. The keys keep their addresses.
func (l *Leases) Release(owner string) {
	maps.DeleteFunc(l.used, func(_ netip.Addr, by string) bool { return by == owner })
}

// Forget drops the keys that match; their addresses are free for others once
// nobody uses them.
func (l *Leases) Forget(match func(key string) bool) (changed bool) {
	before := len(l.sticky)
	maps.DeleteFunc(l.sticky, func(key string, _ netip.Addr) bool { return match(key) })
	return len(l.sticky) != before
}

// State returns a copy of the sticky addresses.
func (l *Leases) State() State { return maps.Clone(State(l.sticky)) }

func (l *Leases) lease(key, owner string, a netip.Addr) netip.Addr {
	if key != "" {
		for other, b := range l.sticky {
			if b == a && other != key {
				delete(l.sticky, other)
			}
		}
		l.sticky[key] = a
	}
	l.used[a] = owner
	return a
}

// lowest scans the range upwards. The scan ends at the first gap, so its
// length is the number of addresses in use, not the size of the subnet.
func (l *Leases) lowest(avoid map[netip.Addr]bool) (netip.Addr, bool) {
	for a := l.pool.Range.Addr(); l.pool.Range.Contains(a); a = a.Next() {
		if _, taken := l.used[a]; !taken && !avoid[a] && l.assignable(a) {
			return a, true
		}
	}
	return netip.Addr{}, false
}

func (l *Leases) assignable(a netip.Addr) bool {
	s := l.pool.Subnet
	return s.Contains(a) && a != s.Addr() && (a.Is6() || a != Last(s))
}
