// Package doctor asks the kernel what it offers: one list of the features that
// devstack builds on, each with an answer, the kernel that brought it and what
// to do where it is missing.
//
// A probe tries the thing itself (in a namespace of its own where it would
// leave a trace); a version number decides only what cannot be tried. Nothing
// on the machine changes. `devstack doctor` prints the list.
package doctor
