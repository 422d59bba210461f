package container

import (
	"errors"
	"fmt"
	"syscall"
)

var (
	// ErrUnknownExit means that a process that was not our child has ended and
	// the kernel does not say how.
	ErrUnknownExit = errors.New("exit code is unknown: the process was started by another engine")
	// ErrNotRunning means that there is no process to act on.
	ErrNotRunning = errors.New("container is not running")
	// ErrPaused means that a process cannot be started while all are stopped.
	ErrPaused = errors.New("container is paused")
)

// ChildError is a failure inside the new namespaces.
type ChildError struct {
	Op    string // "exec", "mount", "set sysctl", ...
	Path  string // what it was about; may be empty
	Errno syscall.Errno
	Text  string // explanation beyond Errno; may be empty
}

func (e *ChildError) Error() string {
	s := e.Op
	if e.Path != "" {
		s += fmt.Sprintf(" %q", e.Path)
	}
	switch {
	case e.Text == "":
		return s + ": " + e.Errno.Error()
	case e.Op == "exec":
		return s + ": " + e.Text
	}
	return s + ": " + e.Errno.Error() + ": " + e.Text
}

// Unwrap makes errors.Is work with os.ErrNotExist and the like.
func (e *ChildError) Unwrap() error { return e.Errno }

// ExitCode is what a shell would exit with: 127 if the command (or, as Docker
// has it, its working directory) is not there, 126 if it cannot be executed,
// 125 if the container could not be set up.
func (e *ChildError) ExitCode() int {
	switch {
	case e.Op != "exec" && e.Op != "chdir":
		return 125
	case e.Errno == syscall.ENOENT:
		return 127
	}
	return 126
}
