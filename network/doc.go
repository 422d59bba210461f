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
// owns the listening sockets. The engine opens the one Stack; engine/supervise
// and engine/build/step work with it.
//
// Where the time goes (2 cores, Linux 6.18, medians; `go test -bench . ./network`):
// a sandbox 0.8 ms, of which 0.5 are the kernel's making of the namespace and 0.2
// the resolver's rule; attaching it 0.5 ms, of which 0.4 are the veth pair. An
// interface is gone 1-4 ms after it is deleted, twenty together after 12 (the
// kernel's own answer, behind an RCU barrier, takes 20 ms more and is not waited
// for); deleting a bridge holds such a barrier inside and takes 20-40 ms. Applying
// a network that is as it should be: 0.15 ms. A container with two networks and a
// port costs the engine 17 KiB.
package network
