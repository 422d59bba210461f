package apply

import (
	"errors"
	"fmt"
	"io/fs"

	"devstack/engine/watch"
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
	Op     string // "read", "write", "remove", "make directory"
	Target string // in the container; of "read", on the host
	Err    error
	Hint   string
}

// Error says what, where and why.
func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: %v", e.Op, watch.Printable(e.Target), e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Unreadable parts the files of the host that may not be read from all else
// that an Apply could not do.
func Unreadable(err error) (faults []*Error, rest error) {
	var e *Error
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var others []error
		for _, err := range joined.Unwrap() {
			f, r := Unreadable(err)
			faults, others = append(faults, f...), append(others, r)
		}
		return faults, errors.Join(others...)
	}
	if errors.As(err, &e) && e.Op == "read" && errors.Is(err, fs.ErrPermission) {
		return []*Error{e}, nil
	}
	return nil, err
}
