// Package dockerfile reads Dockerfiles as BuildKit's reference has them and
// says what a build has to do: stages, and for each stage its steps with every
// variable replaced, and the configuration that results.
//
//	Parse      bytes -> File: stages, global arguments, where each comes from
//	Evaluate   Stage + State of its base -> Plan: Steps, State
//
// The grammar, its checks and the shell's words are BuildKit's own packages;
// what BuildKit does between them and its solver is here, without the solver:
// everything is a function of bytes and options. Nothing is opened, fetched or
// run; engine/build/solve does that with the Plan.
//
// Faults are *Error (several at once: Errors) with file, lines and excerpt.
// What BuildKit's linter finds comes as Warning; its rules may be skipped or
// made faults with the directive "# check=".
package dockerfile
