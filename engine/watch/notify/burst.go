package notify

import "time"

// burst is a run of events without a pause that would end it.
//
//	paths   pause that ends it   longest delay
//	  1-8         1 ms               50 ms
//	 9-64         5 ms              250 ms
//	 more        25 ms                2 s
//
// The delay is bounded so that a file that is written all the time is
// reported all the same.
type burst struct {
	first, last time.Time
	paths       int
}

// Pauses.
const (
	quickPause  = time.Millisecond
	mediumPause = 5 * time.Millisecond
	longPause   = 25 * time.Millisecond
	// returns is how long a path that is gone or empty may take to come back,
	// as part of being saved.
	returns = 15 * time.Millisecond
	// writePause is between looks at a file that is open for writing. It is
	// waited for while it is written, for longestWrite at most: so a file that
	// grows is one change, and no service is restarted with half of it.
	writePause   = 5 * time.Millisecond
	writeQuiet   = 100 * time.Millisecond
	longestWrite = 2 * time.Second
	// gitPause is between looks at git's lock, gitLimit how long it is heeded.
	gitPause = 10 * time.Millisecond
	gitLimit = 10 * time.Second
)

func (b *burst) note(now time.Time) {
	if b.first.IsZero() {
		b.first = now
	}
	b.last = now
}

// rest is how long there has to be no event before the burst is over; zero or
// less: it is over.
func (b *burst) rest(now time.Time) time.Duration {
	pause, limit := quickPause, 50*time.Millisecond
	switch {
	case b.paths > 64:
		pause, limit = longPause, 2*time.Second
	case b.paths > 8:
		pause, limit = mediumPause, 250*time.Millisecond
	}
	return min(b.last.Add(pause).Sub(now), b.first.Add(limit).Sub(now))
}

// heedsGit says whether a lock of git's index, of the given age, means that
// more is to come. A lock may also be held for as long as somebody writes a
// commit message; that must not hold up what is saved meanwhile.
func (b *burst) heedsGit(lockAge time.Duration, now time.Time) bool {
	if now.Sub(b.first) > gitLimit {
		return false
	}
	return lockAge < 2*time.Second || b.paths > 8 && now.Sub(b.last) < 250*time.Millisecond
}
