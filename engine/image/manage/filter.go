package manage

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"devstack/engine/image"
)

// Filter narrows what is pruned; the zero value lets everything pass.
type Filter struct {
	Until    time.Time // only what is older: came to the store, or was used, before
	Labels   []Label   // all of them
	Dangling *bool     // true: only images without a name; false: all
}

// Label is a condition on an image's labels.
type Label struct {
	Key, Value string
	AnyValue   bool
	Not        bool
}

// ParseFilter reads the values of --filter, as Docker has them: until=24h,
// until=2024-01-31, label=KEY, label=KEY=VALUE, label!=KEY, dangling=true.
// Durations also take d and w.
func ParseFilter(values []string, now time.Time) (Filter, error) {
	var f Filter
	for _, v := range values {
		key, value, ok := strings.Cut(v, "=")
		if !ok {
			return Filter{}, fmt.Errorf("filter %q is not of the form key=value", v)
		}
		switch strings.TrimSpace(key) {
		case "until":
			t, err := parseUntil(value, now)
			if err != nil {
				return Filter{}, fmt.Errorf("filter %q: %w", v, err)
			}
			if f.Until.IsZero() || t.Before(f.Until) {
				f.Until = t
			}
		case "label", "label!":
			l := Label{Not: strings.HasSuffix(strings.TrimSpace(key), "!")}
			var has bool
			l.Key, l.Value, has = strings.Cut(value, "=")
			l.AnyValue = !has
			if l.Key == "" {
				return Filter{}, fmt.Errorf("filter %q names no label", v)
			}
			f.Labels = append(f.Labels, l)
		case "dangling":
			b, err := strconv.ParseBool(value)
			if err != nil {
				return Filter{}, fmt.Errorf("filter %q is not true or false", v)
			}
			f.Dangling = &b
		default:
			return Filter{}, fmt.Errorf("filter %q is not known (want until, label, label!, dangling)", key)
		}
	}
	return f, nil
}

func parseUntil(s string, now time.Time) (time.Time, error) {
	if d, ok := parseAge(s); ok {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	sec, frac, _ := strings.Cut(s, ".")
	if n, err := strconv.ParseInt(sec, 10, 64); err == nil && n >= 0 && strings.Trim(frac, "0123456789") == "" {
		return time.Unix(n, 0), nil
	}
	return time.Time{}, fmt.Errorf("%q is no time (want 24h, 10d, 2024-01-31, 2024-01-31T12:00:00Z or seconds since 1970)", s)
}

// parseAge reads Go's durations, and days and weeks.
func parseAge(s string) (time.Duration, bool) {
	if d, err := time.ParseDuration(s); err == nil {
		return d, s != "0"
	}
	if s == "" {
		return 0, false
	}
	unit := map[byte]time.Duration{'d': 24 * time.Hour, 'w': 7 * 24 * time.Hour}[s[len(s)-1]]
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 16)
	if err != nil || unit == 0 {
		return 0, false
	}
	return time.Duration(n) * unit, true
}

// passes says whether an image may be pruned; added is when it came here.
func (f Filter) passes(img image.Image, added time.Time) bool {
	if !f.Until.IsZero() && !added.Before(f.Until) {
		return false
	}
	for _, l := range f.Labels {
		value, ok := img.Config.Labels[l.Key]
		if (ok && (l.AnyValue || value == l.Value)) == l.Not {
			return false
		}
	}
	return true
}
