// Package health decides whether a container is healthy. It is pure: the
// caller runs the probes, tells the machine what came of them, and asks it
// when to probe next; there is no clock, no goroutine and no process here.
//
// Package supervise is its caller.
package health
