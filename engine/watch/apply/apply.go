package apply

import (
	"fmt"
)

// Options of Apply.
type Options struct {
	// Compare leaves alone what is equal already: for containers whose tree is
	// not known. Without it every file is written.
	Compare bool
}

// Result counts what was done.
type Result struct {
	Written int // files and symlinks
	Made    int // directories
	Removed int // files and directories, each with what was in it
	Same    int // left alone
	Bytes   int64
}

// String is the result for a line of progress.
func (r Result) String() string {
	return fmt.Sprintf("%d written, %d removed", r.Written+r.Made, r.Removed)
}

// Error is a path that could not be made equal.
type Error struct {
	Op     string // "write", "remove", "make directory"
	Target string // in the container
	Err    error
	Hint   string
}

// Error says what, where and why.
func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Target, e.Err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }
