// Package engine is the façade of the engine process: it wires images,
// networks, volumes and containers together and answers the operations of
// package api. The work itself is done below: plan decides, supervise acts.
package engine
