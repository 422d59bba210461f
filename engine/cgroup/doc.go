// Package cgroup gives each container its control groups on cgroup v1, v2 and
// hybrid hosts (v1 controllers beside a unified tree without any).
//
// It is written by hand, thin, instead of using github.com/opencontainers/cgroups,
// because of what a container's birth may cost (about 1 ms for making and
// removing all its groups) and because of one measurement: writing a pid to a v1
// cgroup.procs takes 5-9 ms on an idle machine, per controller, since the kernel
// waits for an RCU grace period to stop all forks (cgroup_threadgroup_rwsem). No
// library avoids that. Here no pid is written anywhere:
//
//   - v2 and the unified tree of a hybrid host: the process is cloned into the
//     group (CLONE_INTO_CGROUP), 20 µs;
//   - v1: the newborn process moves itself ("0" to tasks, which needs no such
//     lock since Linux 5.18): 15 µs for each controller.
//
// Groups are made only in hierarchies that a limit needs, plus one to track the
// processes: the unified tree, else freezer, else pids, else name=systemd. With a
// unified tree, killing is cgroup.kill and emptiness is an event. Device rules
// are the devices controller on v1 and an eBPF program on v2, assembled here in a
// page of code rather than with a loader library.
//
// The package moves no process that it has not made, and removes only groups
// below the root that it was given.
package cgroup
