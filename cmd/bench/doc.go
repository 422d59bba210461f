// Bench measures devstack from outside, as a user meets it: the wall-clock
// time of whole commands, the memory of everything of ours, the cost of a
// published port, the way from a saved file to an answer. Times are also given
// as multiples of a baseline measured in the same run, a bare "crun run" of a
// static /bin/true, so that they can be compared between machines.
//
// Everything happens in pid, mount and network namespaces of its own, with
// data and run roots on a tmpfs there: when the bench ends, by whatever way,
// the kernel takes all of it away. The images are made on the spot.
//
//	bench              the outer process: makes the namespaces
//	 └─ bench init     pid 1 inside: reaps, and ends with its child
//	     └─ bench run  measures
//	         ├─ bench baseline   crun, with its own view of /sys/fs/cgroup
//	         └─ devstack ...
//	bench serve        the network service, inside a container
//	bench web          the HTTP service, inside a container
package main
