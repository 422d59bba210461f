package compose

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time span; its text form is Go's ("1m30s").
type Duration time.Duration

// MarshalText writes Go's form of the duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads Go's form of the duration.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("parse duration %q: %w", b, err)
	}
	*d = Duration(v)
	return nil
}

// Bytes is a size in bytes; its JSON form is a string of digits, as Compose
// prints it.
type Bytes int64

// MarshalJSON writes the size as a quoted number.
func (b Bytes) MarshalJSON() ([]byte, error) {
	return []byte(`"` + strconv.FormatInt(int64(b), 10) + `"`), nil
}

// UnmarshalJSON reads a quoted or a bare number.
func (b *Bytes) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		s = string(data)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return fmt.Errorf("parse size %q: %w", s, err)
	}
	*b = Bytes(n)
	return nil
}

// ParseBytes reads a size: a number with an optional unit b, k, m, g, t or p,
// which may be followed by b or ib. Units are powers of 1024.
func ParseBytes(s string) (Bytes, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return Bytes(n), nil
	}
	last := strings.LastIndexAny(s, "0123456789. ")
	if last < 0 {
		return 0, fmt.Errorf("invalid size %s", strconv.Quote(s))
	}
	number, unit := s[:last+1], strings.ToLower(s[last+1:])
	number = strings.TrimSuffix(number, " ")
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || value < 0 || math.IsNaN(value) {
		return 0, fmt.Errorf("invalid size %s", strconv.Quote(s))
	}
	if unit != "" && unit != "b" {
		at := strings.IndexByte("kmgtp", unit[0])
		if rest := unit[1:]; at < 0 || rest != "" && rest != "b" && rest != "ib" {
			return 0, fmt.Errorf("invalid size %s: unknown unit %s", strconv.Quote(s), strconv.Quote(unit))
		}
		value *= float64(int64(1) << (10 * (at + 1)))
	}
	if value >= math.MaxInt64 {
		return 0, fmt.Errorf("size %s is too large", strconv.Quote(s))
	}
	return Bytes(value), nil
}

// Mapping is a set of KEY=VALUE pairs; a nil value means that the key was
// named without one ("take it from the environment").
type Mapping map[string]*string

// Extensions holds x-* keys, as plain YAML values (maps, slices, scalars).
type Extensions map[string]any
