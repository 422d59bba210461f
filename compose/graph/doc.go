// Package graph orders the services of a project by what they need: depends_on,
// links, volumes_from and shared network, ipc and pid namespaces.
//
// It is pure: a Graph is made once of a project and never changes. The engine
// asks it in which order to start and stop, and what a change reaches.
package graph
