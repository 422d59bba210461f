// Package netns makes, enters and removes network namespaces that outlive the
// process: each is pinned by a bind mount of its nsfs file at a path.
//
// Work inside a namespace happens on a thread of its own: a goroutine locks
// its thread, switches it, runs the caller's function and switches back. A
// thread that cannot be switched back is given up, never reused. This package
// and engine/container are the only ones that lock threads.
//
// It knows nothing of addresses, bridges or names; network calls it.
package netns
