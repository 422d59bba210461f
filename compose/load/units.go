package load

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// parseSize reads a size: a number with an optional unit b, k, m, g, t or p,
// which may be followed by b or ib. Units are powers of 1024.
func parseSize(s string) (int64, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	last := strings.LastIndexAny(s, "0123456789. ")
	if last < 0 {
		return 0, fmt.Errorf("invalid size %s", quote(s))
	}
	number, unit := s[:last+1], strings.ToLower(s[last+1:])
	number = strings.TrimSuffix(number, " ")
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || value < 0 || math.IsNaN(value) {
		return 0, fmt.Errorf("invalid size %s", quote(s))
	}
	if unit != "" && unit != "b" {
		at := strings.IndexByte("kmgtp", unit[0])
		if rest := unit[1:]; at < 0 || rest != "" && rest != "b" && rest != "ib" {
			return 0, fmt.Errorf("invalid size %s: unknown unit %s", quote(s), quote(unit))
		}
		value *= float64(int64(1) << (10 * (at + 1)))
	}
	if value >= math.MaxInt64 {
		return 0, fmt.Errorf("size %s is too large", quote(s))
	}
	return int64(value), nil
}

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
