// Package apply makes paths of a container equal to paths of the host.
//
// The container's root is a directory descriptor; every path below it is
// resolved by openat2 with RESOLVE_IN_ROOT, so whatever links the container
// makes, nothing outside of it is read or written. Files are replaced by
// rename, with the host's mode (but for Op.Perm) and time and with the owner of what they
// replace, else of their directory. Nothing is ever removed on another mount
// than the directory that goes.
package apply
