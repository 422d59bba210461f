package health

import (
	"time"

	"devstack/engine/api"
)

// FirstDelay is the pause after the first probe of a start; it doubles.
const FirstDelay = 10 * time.Millisecond

// Result is what came of one probe.
type Result struct {
	Start, End time.Time
	Healthy    bool
}

// Machine follows the health of one run of one container.
//
//	           success                     failure counted `retries` times
//	starting ------------------> healthy ---------------------------------+
//	    |                           ^                                     v
//	    |                           +------------- success ---------- unhealthy
//	    +---------- failure counted `retries` times ----------------------^
//
// Probing while starting is eager: at once, then after 10 ms, 20 ms, 40 ms, …
// up to the interval (start_interval during start_period), so that a container
// is known to be healthy when it is. Eagerness must not make a container
// unhealthy earlier than Compose would, which probes once an interval. So a
// failure counts only when its probe began
//
//   - after start_period, and
//   - at least one interval after the last counted failure ended, or after
//     counting could begin (the end of start_period, the last success).
//
// The time until "unhealthy" is therefore never below retries × interval after
// start_period. Once healthy or unhealthy, one probe an interval.
type Machine struct {
	check Check
	state string
	began time.Time // of the run

	count   int       // failures that counted, in a row
	counted time.Time // when the last one ended, or counting began
	delay   time.Duration
}

// NewMachine follows a container that was started at began.
func NewMachine(c Check, began time.Time) *Machine {
	return &Machine{
		check: c, state: api.HealthStarting, began: began,
		counted: began.Add(c.StartPeriod),
	}
}

// AdoptMachine follows a container that was started at began and whose health
// was state when the engine before this one saw it last. Failures are counted
// anew from now.
func AdoptMachine(c Check, began, now time.Time, state string) *Machine {
	m := NewMachine(c, began)
	switch state {
	case api.HealthHealthy, api.HealthUnhealthy:
		m.state = state
	}
	if m.counted.Before(now) {
		m.counted = now
	}
	return m
}

// State is one of the api.Health constants.
func (m *Machine) State() string { return m.state }

// Failures is how many failures in a row have counted.
func (m *Machine) Failures() int { return m.count }

// Next is how long to wait before the next probe. The first one is due at
// once, for a new container as for an adopted one.
func (m *Machine) Next(now time.Time) time.Duration {
	if m.delay == 0 {
		return 0
	}
	if m.state != api.HealthStarting {
		return m.check.Interval
	}
	delay := min(m.delay, m.longest(now))
	// Be there when the next failure may count: "unhealthy" then comes when
	// Compose would say it.
	if due := m.counted.Add(m.check.Interval).Sub(now); due > 0 {
		delay = min(delay, due)
	}
	return delay
}

func (m *Machine) longest(now time.Time) time.Duration {
	if now.Sub(m.began) < m.check.StartPeriod {
		return m.check.StartInterval
	}
	return m.check.Interval
}

// Report takes in a result and says what the state is and whether the result
// changed it.
func (m *Machine) Report(r Result) (state string, changed bool) {
	before := m.state
	if r.Healthy {
		m.state, m.count, m.counted, m.delay = api.HealthHealthy, 0, r.End, FirstDelay
		return m.state, m.state != before
	}
	// A probe that takes long is not repeated at a rate that keeps the
	// container busy with probing.
	m.delay = min(max(2*m.delay, FirstDelay, r.End.Sub(r.Start)), max(m.check.Interval, m.check.StartInterval))
	if r.Start.Sub(m.counted) >= m.check.Interval {
		m.count++
		m.counted = r.End
	}
	if m.count >= m.check.Retries {
		m.state = api.HealthUnhealthy
	}
	return m.state, m.state != before
}
