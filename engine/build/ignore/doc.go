// Package ignore decides what of a build context does not exist for a build:
// the patterns of <Dockerfile>.dockerignore or, where there is none, of
// .dockerignore. The rules are Docker's (moby/patternmatcher): Go's
// filepath.Match with "**" for any number of directories, "!" for exceptions,
// the last pattern that matches decides, and what lies in an ignored directory
// is ignored with it unless an exception names it.
//
// It is pure: package source walks the tree and asks.
package ignore
