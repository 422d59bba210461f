package load

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// parsePeriod reads a duration: numbers with units ns, us, ms, s, m, h, d, w.
func parsePeriod(s string) (time.Duration, error) {
	bad := func(why string) (time.Duration, error) {
		return 0, fmt.Errorf("invalid duration %s%s", quote(s), why)
	}
	rest, neg := s, false
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		rest, neg = rest[1:], rest[0] == '-'
	}
	if rest == "0" {
		return 0, nil
	}
	if rest == "" {
		return bad("")
	}
	var total float64
	var whole int64
	for rest != "" {
		n := len(rest) - len(strings.TrimLeft(rest, "0123456789."))
		value, err := strconv.ParseFloat(rest[:n], 64)
		if n == 0 || err != nil {
			return bad("")
		}
		digits := rest[:n]
		rest = rest[n:]
		u := strings.IndexAny(rest, "0123456789.")
		if u < 0 {
			u = len(rest)
		}
		if u == 0 {
			return bad(": a unit is missing")
		}
		unit := periodUnit(rest[:u])
		if unit == 0 {
			return bad(": unknown unit " + quote(rest[:u]))
		}
		rest = rest[u:]
		if i, err := strconv.ParseInt(digits, 10, 64); err == nil && i <= math.MaxInt64/int64(unit) {
			whole += i * int64(unit)
		} else {
			whole += int64(value * float64(unit))
		}
		if total += value * float64(unit); total > math.MaxInt64/2 || whole < 0 {
			return bad(": too long")
		}
	}
	if neg {
		whole = -whole
	}
	return time.Duration(whole), nil
}

func periodUnit(s string) time.Duration {
	switch s {
	case "ns":
		return time.Nanosecond
	case "us", "µs", "μs":
		return time.Microsecond
	case "ms":
		return time.Millisecond
	case "s":
		return time.Second
	case "m":
		return time.Minute
	case "h":
		return time.Hour
	case "d":
		return 24 * time.Hour
	case "w":
		return 7 * 24 * time.Hour
	}
	return 0
}
