// Package container runs one container from an OCI runtime spec: Create, Start,
// Exec, Signal, Wait, Delete; and Adopt for one that an earlier engine started.
//
//	Runtime.Create                    child (package child)
//	  spec -> child.Program
//	  cgroup made, limits set
//	  overlay mounted, detached
//	  order to the nursery ---------> clone3 into the cgroup, new pid namespace
//	  program through a socket -----> other namespaces, mounts, /dev, pivot_root,
//	                                  identity
//	  <------------------------------ ready: OCI "created"
//	Container.Start ----------------> capabilities, seccomp, execve
//	  <------------------------------ end of file, or the fault
//
// The root filesystem is never in the host's mount table: it is a detached mount
// (fsopen, fsmount) that the child attaches in a mount namespace of its own.
//
// Children are forks of one process, the nursery. It is this program, executed
// from a read-only overlay of its own file (or a sealed memfd), so that no container can write to the engine's binary
// through /proc/PID/exe (CVE-2019-5736).
//
// Waiting costs no thread: a pidfd in Go's netpoller. Nothing here polls.
//
// The package knows nothing of images, networks (it joins a namespace by path),
// logs (it passes descriptors) or restarts. It needs Linux 5.12 (mount_setattr);
// it is tested on 6.18.
package container
