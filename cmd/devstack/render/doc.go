// Package render turns what the engine says into what a person (or a script)
// reads: progress as a live tree, as plain lines or as JSON; tables; log lines
// with coloured prefixes; ages, ports and states in Docker's words.
//
// It writes to the writers it is given and never asks the environment: whether
// there is a terminal, its size and its colours are arguments.
package render
