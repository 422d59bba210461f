package guard

import "time"

// An engine that lived for shortLife is trusted to live again.
const (
	shortLife  = time.Second
	firstPause = 10 * time.Millisecond
	maxPause   = 30 * time.Second
	// maxDeaths is how many deaths in a row, each after less than shortLife,
	// make an engine hopeless: clients that wait are told so when one start more
	// has failed, and a guard that has nothing to keep ends.
	maxDeaths = 5
)

// respawn decides when a dead engine is started again: at once, and after
// pauses that double when it dies again and again at once.
type respawn struct {
	deaths int // in a row, each after a short life
}

// died returns the pause before the next start.
func (r *respawn) died(lived time.Duration) time.Duration {
	if lived >= shortLife {
		r.deaths = 0
		return 0
	}
	r.deaths++
	pause := firstPause
	for i := 2; i < r.deaths && pause < maxPause; i++ {
		pause *= 2
	}
	if r.deaths == 1 {
		return 0
	}
	return min(pause, maxPause)
}

func (r *respawn) hopeless() bool { return r.deaths >= maxDeaths }
