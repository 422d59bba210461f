package health

import (
	"time"

	"devstack/compose"
)

// Defaults of a healthcheck, those of the Dockerfile reference.
const (
	DefaultInterval      = 30 * time.Second
	DefaultTimeout       = 30 * time.Second
	DefaultStartInterval = 5 * time.Second
	DefaultRetries       = 3
)

// Check is a healthcheck with every value settled.
type Check struct {
	Test          []string // ["CMD", args...] or ["CMD-SHELL", line]
	Interval      time.Duration
	Timeout       time.Duration
	StartPeriod   time.Duration
	StartInterval time.Duration
	Retries       int
}

// Effective lays a service's healthcheck over its image's; either may be nil.
// It reports false when there is nothing to check: no test, NONE, or disable.
func Effective(img, svc *compose.Healthcheck) (Check, bool) {
	var h compose.Healthcheck
	for _, layer := range []*compose.Healthcheck{img, svc} {
		if layer == nil {
			continue
		}
		if len(layer.Test) > 0 {
			h.Test = layer.Test
		}
		h.Interval = given(layer.Interval, h.Interval)
		h.Timeout = given(layer.Timeout, h.Timeout)
		h.StartPeriod = given(layer.StartPeriod, h.StartPeriod)
		h.StartInterval = given(layer.StartInterval, h.StartInterval)
		if layer.Retries != nil && *layer.Retries > 0 {
			h.Retries = layer.Retries
		}
		h.Disable = h.Disable || layer.Disable
	}
	if h.Disable || len(h.Test) < 2 || (h.Test[0] != "CMD" && h.Test[0] != "CMD-SHELL") {
		return Check{}, false
	}
	c := Check{
		Test:        h.Test,
		Interval:    or(h.Interval, DefaultInterval),
		Timeout:     or(h.Timeout, DefaultTimeout),
		StartPeriod: or(h.StartPeriod, 0),
		Retries:     DefaultRetries,
	}
	// Where the file says nothing, probing during the start never becomes
	// rarer than afterwards.
	c.StartInterval = or(h.StartInterval, min(DefaultStartInterval, c.Interval))
	if h.Retries != nil {
		c.Retries = int(min(*h.Retries, 1<<30))
	}
	return c, true
}

// Command is the command line of the probe. Shell is the image's SHELL, used
// by CMD-SHELL; empty means /bin/sh -c.
func (c Check) Command(shell []string) []string {
	if c.Test[0] == "CMD" {
		return c.Test[1:]
	}
	if len(shell) == 0 {
		shell = []string{"/bin/sh", "-c"}
	}
	return append(append([]string{}, shell...), c.Test[1])
}

// given is over unless it is nil or zero; zero means "as inherited", as in
// the image format.
func given(over, under *compose.Duration) *compose.Duration {
	if over == nil || *over <= 0 {
		return under
	}
	return over
}

func or(d *compose.Duration, otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return time.Duration(*d)
}
