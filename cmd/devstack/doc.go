// Command devstack runs a project of services from a compose.yaml, with
// Compose's verbs, flags, output and exit codes.
//
// This package is the client: it reads the project files, asks the engine and
// prints. One file a verb; a verb parses its flags, makes one call and prints.
// What they share: root.go (the global flags and the table of verbs), project.go
// (files -> project), dial.go (the engine), report.go (errors and exit codes),
// setting.go (COMPOSE_ variables), signals.go and terminal.go. What the engine does
// not run is in provider.go, models.go and external.go. Folder render holds what
// output looks like, remote gets project files from elsewhere, scaffold proposes
// a first one.
//
// Only main.go touches the process itself: its arguments, environment, standard
// files and exit code.
package main
