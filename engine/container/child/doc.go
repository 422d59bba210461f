// Package child is the half of the container runtime that runs inside the new
// namespaces: the same binary, executed again, which turns a flat Program into
// a root filesystem, an identity and an execve(2).
//
// # Why it is forked
//
// A Go process costs more to start, and to end, than a container: threads, page
// faults, an address space for each. So the binary is executed once, becomes a
// process of one thread, the nursery, and is forked for each child
// (nursery_linux.go). It goes with the engine.
//
// # Why it acts in init
//
// Package initialisation is most of what a process start costs: a binary with
// netlink, a registry client and a DNS library spends 2-10 ms there. Go
// initialises packages whose dependencies are ready in order of their import
// path, so a package that imports nothing but syscall is reached after a
// fraction of a millisecond, before encoding/json, net or anything under
// github.com. That is why this package
//
//   - acts in its own init, the one exception to the rule against init;
//   - imports only syscall and unsafe: not os, not golang.org/x/sys/unix (both
//     come a millisecond later), hence the small table in sys_linux.go, which a
//     test compares with x/sys;
//   - is told by an environment variable (Door), because os.Args needs os;
//   - receives plain bytes: the parent has read the OCI spec, compiled the
//     seccomp filter and parsed every mount option.
//
// TestDoorComesFirst holds this with GODEBUG=inittrace=1.
//
// # Protocol
//
// One stream socket for each child, descriptor 3:
//
//	parent                                child
//	  | -- length (+ root), Program -------> |
//	  |                                      | (a new pid namespace is joined:
//	  | <-- pid ---------------------------- |  the child forks with CLONE_PARENT)
//	  | <-- console (SCM_RIGHTS) ----------- | (a terminal was asked for)
//	  | <-- ready -------------------------- | everything but execve is done
//	  | -- start --------------------------> |
//	  | <-- fault, or end of file ---------- | end of file: execve succeeded
//
// A fault may come instead of any message; it names operation, path and errno.
// End of file from the parent at any time means that the engine is gone: the
// child exits.
package child
