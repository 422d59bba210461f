package fetch

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// policy says when the source is asked.
type policy struct {
	never bool
	// maxAge is how old what the store has may be; negative: any age.
	maxAge time.Duration
}

// parsePolicy reads the values of pull_policy: always, missing (also "" and
// if_not_present), never, daily, weekly, every_<duration> such as every_1w2d
// or every_12h.
func parsePolicy(s string) (policy, error) {
	const day = 24 * time.Hour
	switch s {
	case "", Missing, "if_not_present":
		return policy{maxAge: -1}, nil
	case Always:
		return policy{}, nil
	case Never:
		return policy{never: true, maxAge: -1}, nil
	case "daily":
		return policy{maxAge: day}, nil
	case "weekly":
		return policy{maxAge: 7 * day}, nil
	}
	if spec, ok := strings.CutPrefix(s, "every_"); ok {
		if age, ok := parseAge(spec); ok {
			return policy{maxAge: age}, nil
		}
	}
	return policy{}, fmt.Errorf("pull policy %q is not one of always, missing, never, daily, weekly, every_<duration>", s)
}

// parseAge reads numbers with the units w, d, h, m and s.
func parseAge(s string) (time.Duration, bool) {
	var sum time.Duration
	for s != "" {
		n := len(s) - len(strings.TrimLeft(s, "0123456789"))
		if n == 0 || n == len(s) {
			return 0, false
		}
		count, err := strconv.Atoi(s[:n])
		unit, ok := ageUnit(s[n])
		if err != nil || !ok || count > 100_000 {
			return 0, false
		}
		sum += time.Duration(count) * unit
		s = s[n+1:]
	}
	return sum, sum > 0
}

func ageUnit(c byte) (time.Duration, bool) {
	switch c {
	case 'w':
		return 7 * 24 * time.Hour, true
	case 'd':
		return 24 * time.Hour, true
	case 'h':
		return time.Hour, true
	case 'm':
		return time.Minute, true
	case 's':
		return time.Second, true
	}
	return 0, false
}

func (p policy) always() bool { return !p.never && p.maxAge == 0 }

// fresh says whether something fetched at added needs no asking at now.
func (p policy) fresh(added, now time.Time) bool {
	return p.maxAge < 0 || now.Sub(added) < p.maxAge
}
