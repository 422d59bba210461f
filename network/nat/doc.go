// Package nat owns the engine's packet rules: one nftables table of the inet
// family, `devstack-<tag>`. Each Apply states a whole part of it (the networks,
// or the published ports) in one transaction, and may be repeated.
//
// What the table does:
//
//	guard        prerouting, before conntrack: nothing from a bridge may aim at
//	             127.0.0.0/8. The bridges need route_localnet for published
//	             ports at 127.0.0.1; without this rule it would open the host's
//	             loopback services to containers (CVE-2020-8558).
//	forward      what may pass between bridges and the world: replies, a
//	             network's own traffic, published ports, the way out. Nothing
//	             goes from one network to another, nor into or out of an
//	             internal one.
//	dnat-local   output: connections made on this machine to a published port
//	             go straight to the container while one is live (the fast path;
//	             package publish has the whole story).
//	dnat-outside prerouting: the same for connections that come from outside.
//	postrouting  masquerade for what leaves a network, and for what this
//	             machine itself sends into one by the fast path.
//
// Next to other rules. An accept in our table cannot override a drop in another
// base chain at the same hook, and Docker sets the policy of `ip filter FORWARD`
// to drop, as firewalls do. Apply therefore looks for base chains at the forward
// hook which are not ours and may drop, and inserts two rules at their top: what
// comes from or goes to a bridge of ours is accepted there; our own forward
// chain has then decided, or will. Docker's DOCKER-USER chain is used where it
// exists: Docker leaves it alone when it rewrites its own. The rules carry our
// table's name as their comment; Remove finds them by it. Tables that another
// program owns (firewalld with the owner flag) cannot be changed: Apply says so
// in its notes. Rules of the legacy iptables are changed with its own tool.
//
// The sandboxes' own rule (Redirect) turns 127.0.0.11:53 into the resolver's
// ports. It rewrites the port in both directions without connection tracking,
// so a container's traffic does not pay for it.
package nat
