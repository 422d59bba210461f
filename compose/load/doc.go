// Package load makes a compose.Project out of project files.
//
// It works in phases, and each reports all of its faults at once, with the
// place, the line and a hint:
//
//	find        which files, which environment (discover.go, environ.go)
//	parse       bytes -> nodes with places; anchors, merge keys, interpolation (parse.go)
//	conform     nodes are checked against package schema and take their long form (conform.go)
//	assemble    include, extends, merge, file by file (include.go, extends.go, merge.go)
//	normalize   defaults, names, implied dependencies (normalize.go)
//	decode      nodes -> compose.Project (decode*.go)
//	resolve     profiles, env_file, label_file (profiles.go, resolve.go)
//	verify      what only the whole project can tell (verify.go)
//
// compose-go is the oracle in this package's tests and not in the program:
// see ARCHITECTURE.md for the figures.
package load
