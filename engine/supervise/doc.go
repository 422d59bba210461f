// Package supervise carries out plans and keeps what runs as it was wanted:
// it owns each container's state, health and restarts.
//
// A Project holds the units of one project. A Unit is one container; while it
// has a process, one goroutine owns that process (run_linux.go):
//
//	           start                exit, policy says no
//	created ----------> running ------------------------> exited
//	   ^                 |   ^                              |
//	   |      exit,      v   | conditions hold again,       | start
//	   |   policy yes  restarting   backoff over            v
//	   +-------------------------------------------------- running
//
// Mechanisms (container, network, volumes, images, logs) meet here as values
// and file descriptors, through Machine.
package supervise
