// Package copy is COPY and ADD: Plan decides, from source trees and the
// arguments of the instruction, what goes where, and gives the key that a
// cached result can be found by; Into does it.
//
//	Args --Plan--> Ops + key --Into--> files beneath a root
//
// The rules are BuildKit's: a directory's content is copied, not the
// directory; a file goes into an existing directory or one named with a
// trailing slash; sources are followed if they are links, links inside them
// are kept; owners are 0:0 unless the tree is an image's or --chown says
// otherwise; what is there already is merged with or replaced, file by file.
//
// The destination is resolved by hand, one directory descriptor at a time,
// with links meaning paths of the root: neither a hostile base image nor a
// hostile archive can make a build write outside (CVE-2018-15664). Archives
// are unpacked by package layer, which refuses what lies.
package copy
