// Package snapshot makes the root file systems of containers: the read-only
// layers of an image with a writable directory over them.
//
//	DATA/containers/ID/upper   what the container wrote
//	DATA/containers/ID/work    overlayfs' own
//	DATA/containers/.trash/    what is being removed
//
// It prepares directories and says what to mount; the container runtime
// mounts. View mounts for reading and copying, detached: no mount of this
// package is ever seen in a mount table, but for the file systems of containers
// whose size is bounded (bound_linux.go).
package snapshot
