// Package layer turns the tar stream of an image layer into a directory tree
// in overlayfs' form: whiteouts are character devices 0:0, opaque directories
// carry trusted.overlay.opaque.
//
//	source --readAhead--> gunzip/zstd --readAhead--> tar --> tree
//	   |                                  |
//	   +-> blob file, digest, size        +-> diff-id
//
// A stream is an enemy until its digests say otherwise, and even then its
// author may be one: every path is resolved beneath the root of the tree,
// sizes are bounded, and what does not fit is refused with *RefusedError.
// Nothing here decides where trees live or when they count: the store does.
package layer
