package watch

import (
	"io/fs"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Events of a Change.
const (
	Created Event = iota + 1
	Written       // content, or what a link leads to
	Removed
	ModeChanged // permissions only
)

// Event is what happened to a path.
type Event uint8

// String is the event as messages show it.
func (e Event) String() string {
	switch e {
	case Created:
		return "created"
	case Written:
		return "changed"
	case Removed:
		return "removed"
	case ModeChanged:
		return "mode changed"
	}
	return "unknown"
}

// Kinds of a Change.
const (
	File Kind = iota + 1
	Dir
	Symlink
)

// Kind is what a path is, or was if it is removed. Sockets, devices and pipes
// are never reported.
type Kind uint8

// Change is one path that differs from what it was.
type Change struct {
	Path  string // absolute, clean, below the root as the root was named
	Event Event
	Kind  Kind
	Mode  fs.FileMode // permissions; 0 if removed
}

// Batch is the changes of one burst, sorted by path.
type Batch struct {
	ID      uint64
	Changes []Change
	At      time.Time // of the first event
	// Rescan says that everything was looked at instead of what events named:
	// at the start, after an overflow, and where the kernel's watches do not
	// suffice. Changes are exact all the same.
	Rescan bool
	// Initial says that these changes were made while nobody watched.
	Initial bool
}

// Root is a file or directory to watch, which need not exist. Path may be a
// symlink or lead through some.
type Root struct {
	Path string // absolute, clean
	// Skip says whether a path below Path (relative, with "/") is not watched.
	// For a directory that means all of it. nil: nothing is skipped.
	Skip func(rel string, dir bool) bool
}

// Printable is a path as messages show it: quoted if it has line breaks, other
// control characters, or is not UTF-8.
func Printable(path string) string {
	odd := func(r rune) bool { return !unicode.IsPrint(r) }
	if utf8.ValidString(path) && !strings.ContainsFunc(path, odd) {
		return path
	}
	return strconv.Quote(path)
}
