package notify

import (
	"time"

	"devstack/engine/watch"
)

// Options are what to watch and how.
type Options struct {
	Roots []watch.Root // none within another, but by a link
	// Base is a directory, such as the project's: those below it that lead to
	// roots may be renamed or replaced. "": they are not.
	Base string
	// State is the file that keeps the index; "": nothing is kept, and the
	// tree as it is at Open is where changes begin.
	State string
	// Since, if set, makes files of which nothing is known changes if they were
	// written after it, and Late says so of their path; nil: of any.
	Since time.Time
	Late  func(path string) bool
	// Notice takes remarks for the user; may be nil. It is called from the
	// watcher's goroutine.
	Notice func(Notice)
	// MaxWatches bounds the directories that are watched by the kernel; the
	// rest is compared in intervals. 0: the kernel's limit.
	MaxWatches int
	// Poll is the shortest interval of comparing; 0 is a second.
	Poll time.Duration
}

// Notice is a remark for the user.
type Notice struct {
	Text string
	Hint string
}
