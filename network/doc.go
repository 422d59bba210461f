// Package network gives containers their networks: a bridge per network, a
// network namespace ("sandbox") per container, addresses, names, the way out
// (NAT) and the way in (published ports).
//
// Everything is stated as what should be (Apply, Attach, SetNames, Publish,
// SetBackends) and may be stated again. Names of kernel objects derive from
// the engine's tag, so that Sweep finds what a crash left from names alone, and
// two engines never touch each other's:
//
//	ds<tag>b......    bridge of a network, hash of its name
//	ds<tag>v......    host end of a container's interface, hash of its id
//	devstack-<tag>    nftables table (package nat)
//	RUN/netns/ID      bind mount of a container's namespace
//
// The pieces: ipam chooses addresses, netns pins namespaces, rtnl talks
// rtnetlink in batches, nat owns the rules, dns answers at 127.0.0.11, publish
// owns the listening sockets. engine/supervise is the only caller.
package network
