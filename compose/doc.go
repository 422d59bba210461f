// Package compose is the model of what the user declared: a Project of
// services, networks, volumes, configs and secrets, fully resolved.
//
// The model is pure: values only, no I/O, no root, no Linux. Package
// compose/load makes it from files; every value keeps the place it came from
// (see Project.Pos). The JSON form is the canonical form of the Compose
// Specification, the one `devstack config --format json` prints and the client
// sends to the engine.
package compose
