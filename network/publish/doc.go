// Package publish owns published ports.
//
// The engine holds a listening socket for each port for as long as the port is
// published, whatever happens to the containers behind it. While no container
// is live, connections wait in it (a bounded number, for a bounded time), so
// that reloading a service drops nothing.
//
// Two ways lead from the socket to the container:
//
//	client --> listening socket --> splice(2) --> container     the proxy
//	client --> nftables dnat ---------------> container         the fast path
//
// The proxy always works: for IPv6 clients of an IPv4 container, for containers
// that come by the host's address, while a service starts. The fast path is a
// rule that takes new IPv4 connections to the port straight to the container, as
// fast as if they had been made to its own address; connections made on it
// live in the kernel and survive the engine.
//
//	          SetBackends(b)          every backend took a connection
//	held ----------------------> proxied ------------------> fast
//	 ^                              |                          |
//	 +------------------------------+--------------------------+
//	            SetBackends(none): the rule goes first, then the call returns
//
// A port becomes fast when each backend has accepted a connection from the
// proxy, because the kernel would answer for a process that does not listen
// yet with a refusal, where the proxy waits and tries again. No probe is sent:
// the clients' own connections tell.
//
// UDP has no refusal to fear and is fast at once. Flows that the kernel has
// pinned to a backend which is gone are cut loose (conntrack), so that their
// next datagram finds the new one.
//
// Measured against the container's own address (2 cores, medians): connect and
// echo 1.0 by the fast path, 1.7-2.2 by the proxy; throughput 1.0 by the fast
// path, 0.5 by the proxy, which shares the two cores with both ends.
//
// While a backend is new one connection of those that wait tries it, and wakes
// the others when it has come through. A connection that was made to a backend
// of an earlier SetBackends is not used.
//
// A Keeper holds duplicates of the sockets outside the engine: when the engine
// dies clients queue in the backlog until the next one takes the sockets over,
// by name.
package publish
