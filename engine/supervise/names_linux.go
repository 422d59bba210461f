package supervise

import (
	"net/netip"
	"slices"
	"sync"
)

// nameBoard knows which addresses answer to which names on each network, over
// all projects, and tells the DNS server the whole state of a network at every
// change.
type nameBoard struct {
	set func(network string, names map[string][]netip.Addr)

	mu      sync.Mutex
	entries map[string]map[string]nameEntry // network -> container id
}

type nameEntry struct {
	names []string
	addrs []netip.Addr
	ready bool // healthy, or without a healthcheck
}

func newNameBoard(set func(string, map[string][]netip.Addr)) *nameBoard {
	return &nameBoard{set: set, entries: map[string]map[string]nameEntry{}}
}

// put says that container id answers to e.names on network.
func (b *nameBoard) put(network, id string, e nameEntry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.entries[network] == nil {
		b.entries[network] = map[string]nameEntry{}
	}
	b.entries[network][id] = e
	b.set(network, resolveNames(b.entries[network]))
}

// drop forgets container id on network.
func (b *nameBoard) drop(network, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.entries[network][id]; !ok {
		return
	}
	delete(b.entries[network], id)
	b.set(network, resolveNames(b.entries[network]))
}

// resolveNames maps each name to the addresses of its ready containers, or of
// all of them while none is ready.
func resolveNames(entries map[string]nameEntry) map[string][]netip.Addr {
	ready := map[string][]netip.Addr{}
	all := map[string][]netip.Addr{}
	for _, e := range entries {
		for _, n := range e.names {
			all[n] = append(all[n], e.addrs...)
			if e.ready {
				ready[n] = append(ready[n], e.addrs...)
			}
		}
	}
	for n, addrs := range all {
		if len(ready[n]) > 0 {
			addrs = ready[n]
		}
		slices.SortFunc(addrs, netip.Addr.Compare)
		all[n] = slices.Compact(addrs)
	}
	return all
}
