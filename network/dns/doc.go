// Package dns answers the containers' name queries at 127.0.0.11.
//
// One server serves all sandboxes. Each sandbox contributes a UDP and a TCP
// socket, opened inside its network namespace on a port the kernel chose; a
// rule inside the namespace turns port 53 of 127.0.0.11 into that port and
// back (package nat), so that the container may bind port 53 itself. All sockets
// hang in one epoll set, which is itself polled by the Go runtime: a sandbox
// costs two descriptors and no goroutine. Goroutines exist only for queries
// under way upstream and for TCP clients.
//
// Names of the networks a sandbox is on are answered here; everything else is
// forwarded, as Docker does, from the engine's own namespace: an upstream at
// 127.0.0.53 works.
//
// Messages are read and written with x/net/dns/dnsmessage: it works in place on
// the packet's buffer, has no package initialisation and adds 0.7 MB to the
// program, miekg/dns 3.8 MB and some maps at every start; none of what it has
// in addition (zones, DNSSEC, servers) is needed.
package dns
