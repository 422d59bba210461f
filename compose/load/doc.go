// Package load makes a compose.Project out of project files.
//
// It works in phases, and each reports all of its faults at once, with the
// place, the line and a hint:
//
//	find        which files, which environment (discover.go, dotenv.go, remote.go)
//	parse       bytes -> nodes with places; anchors, merge keys, interpolation (parse.go)
//	conform     nodes are checked against package schema and take their long form (conform.go)
//	assemble    include, extends, merge, file by file (include.go, extends.go, merge.go)
//	decode      nodes -> compose.Project (decode*.go)
//	normalize   defaults, names, implied dependencies (normalize.go)
//	resolve     profiles, env_file, label_file (profiles.go, resolve.go)
//	verify      what only the whole project can tell (verify*.go), and remarks (notices.go, pending.go)
//
// LoadModel stops after assemble, with variables as they are written (raw.go).
// Explain goes all the way and keeps what each file said (explain.go, trace.go).
//
// compose-go is the oracle in this package's tests and not in the program:
// see ARCHITECTURE.md for the figures.
package load
