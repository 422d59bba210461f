// Package spec turns a declared service and its image's configuration into the
// OCI runtime spec of a container. It decides what Docker and Compose decide
// in the daemon: arguments, environment, user, capabilities, limits, mounts.
//
// Build is a function of its Input; what must be looked up on the machine
// (user names, device numbers) comes in through the Input.
package spec
