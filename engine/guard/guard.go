package guard

import (
	"errors"
	"syscall"
)

// How an engine tells its guard, by its exit status, what should follow. Any
// other status, or a signal, is a death: the engine is started again.
const (
	StatusDone    = 0  // nothing is left to run; the guard ends, too
	StatusRestart = 75 // start the engine again in place, see Link.UseBinary
)

// The names under which the guard keeps what it and its engine need
// themselves.
const (
	API  = "api"  // the listening socket
	Lock = "lock" // the file of the data root's lock, see Holder
	Door = "door" // the inode of the listening socket
)

// The hard bounds of what a guard keeps.
const (
	MaxKept  = 16384 // descriptors
	MaxName  = 200   // bytes of a descriptor's name
	MaxExits = 4096  // exits that nobody has asked for yet; the oldest goes first
)

// ErrNoGuard says that this process was not started by a guard.
var ErrNoGuard = errors.New("no guard above this process")

// Exit is the end of a process that had become the guard's child. PIDs are
// used again, so a process is named by its start time, too: field 22 of
// /proc/PID/stat, in clock ticks since boot.
type Exit struct {
	PID    int
	Start  uint64
	Status syscall.WaitStatus
}

// Code is the exit code as a shell would report it: 128+N for signal N.
func (e Exit) Code() int {
	if e.Status.Signaled() {
		return 128 + int(e.Status.Signal())
	}
	return e.Status.ExitStatus()
}

type process struct {
	pid   int
	start uint64
}
