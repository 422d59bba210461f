// Package event tells whoever wants to know what changes: `devstack events`,
// foreground `up`, tests. The engine publishes; nobody who listens can hold it
// up: a subscriber that is too slow loses the oldest events of its queue and
// gets one event that says how many.
package event
