// Package guard is the engine's minimal parent: the process `devstack guard`,
// and the engine's end of the line to it (Link).
//
// The guard starts `devstack engine serve` and starts it again at once when it
// dies. It is the child subreaper, so the containers of an engine that died
// become its children and their exit codes are collected, not invented. It
// keeps duplicates of what must not close meanwhile: the API's listening
// socket, published listeners, the read ends of the containers' FIFOs. It
// decides nothing else, never looks at a project, a container or a record, and
// it ends when the engine says that nothing is left.
//
// package client starts a guard (socket activation); the engine calls Connect
// and wires the Link to whoever needs it.
//
// # The early door
//
// A guard lives as long as its user is logged in, so what it touches at its
// start it pays for ever: the initialisation of this program's packages costs
// milliseconds and megabytes that a guard has no use for. Go initialises
// packages that are ready in the order of their import paths. A package that
// imports nothing but os and syscall is ready before almost everything else;
// one that imports golang.org/x/sys/unix is not, for "golang.org" comes after
// "github.com". So this package does without (what os imports itself, such as
// errors, sync and time, is free), and its init function is the whole of main
// for `devstack guard`. It is one of the two init functions of the program;
// TestDoorIsEarly holds it to that.
package guard
