// Package notify tells which files of a set of roots change, by content.
//
//	inotify -> paths -> quiet moment -> stat, hash -> Batch -> Commit -> State
//	   |                                   |
//	   +-- overflow, limit: look at all ---+-- index: what every file was
//
// An event only names a place to look at; what changed is found by comparing
// the file with the index. So a touch is nothing, an event too many is
// harmless, and after lost events a look at everything finds the same.
//
// The quiet moment is a millisecond for a single save. It grows with the
// burst, so that a checkout of thousands of files is one Batch; while git
// holds its index.lock the burst is not over. A file that is gone or empty is
// given some milliseconds to come back: editors save like that. One that
// somebody has open for writing is waited for while it is written, and read
// again until it is closed.
//
// Directories that Root.Skip names are neither watched nor read. Where the
// kernel's limit on watches is reached there is a notice, and the rest is
// compared in intervals.
//
// The index is kept in State, so that the next Open finds by content what
// changed while nobody watched. State has what was committed, not what was
// reported: a Batch whose work was interrupted comes again.
package notify
