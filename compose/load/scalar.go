package load

import (
	"strconv"
	"strings"

	"devstack/compose"
	"devstack/schema"
)

// scalar checks the type and the meaning of a scalar. A text that holds a
// truth or a number where one is asked for becomes one.
func (c *conformer) scalar(n *node, v *schema.Value, t *trail) *node {
	if !admits(v.Scalar, n.kind) {
		// A variable leaves text behind; take it for what it looks like.
		if !n.expanded || !retype(n, v.Scalar) {
			return c.mismatch(n, v, t)
		}
	}
	if !c.within(n, v, t) {
		return nil
	}
	switch v.Meaning {
	case schema.Boolean:
		return c.boolean(n, v, t)
	case schema.Integer, schema.Decimal, schema.Devices, schema.Mask:
		return c.number(n, v, t)
	case schema.Size:
		size, err := compose.ParseBytes(n.text)
		if err != nil {
			return c.fault(n, "sizes look like 512m, 1.5gb or 1024", "%s: %v", t.subject(), err)
		}
		n.kind, n.text = intKind, strconv.FormatInt(int64(size), 10)
	case schema.Period:
		if _, err := parsePeriod(n.text); err != nil {
			return c.fault(n, "durations look like 30s, 1m30s or 2h", "%s: %v", t.subject(), err)
		}
	case schema.Micros:
		return c.micros(n, t)
	case schema.Octal:
		if n.kind == textKind {
			mode, err := strconv.ParseInt(n.text, 8, 64)
			if err != nil || mode < 0 {
				return c.fault(n, "a mode is octal digits, as \"0440\"", "%s: invalid mode %s", t.subject(), quote(n.text))
			}
			n.kind, n.text = intKind, strconv.FormatInt(mode, 10)
		}
	case schema.Pull:
		if !validPull(n.text) {
			return c.fault(n, "", "%s must be one of always, never, missing, if_not_present, build, refresh, daily, weekly, every_<duration>, not %s", t.subject(), quote(n.text))
		}
	case schema.ContainerID:
		if !validContainerName(n.text) {
			return c.fault(n, "it begins with a letter or digit; letters, digits, _ . - follow", "%s: invalid container name %s", t.subject(), quote(n.text))
		}
	case schema.Path:
		if n.text == "" {
			return c.fault(n, "", "%s must not be empty", t.subject())
		}
	}
	if v.Place != schema.NoPath && v.Short == schema.AsIs {
		n.text = c.absolute(n.text, v.Place)
	}
	return n
}

// admits reports whether a scalar of kind k is among the types of s.
func admits(s schema.Scalar, k kind) bool {
	switch k {
	case textKind:
		return s&schema.Text != 0
	case intKind:
		return s&(schema.Int|schema.Number) != 0
	case floatKind:
		return s&schema.Number != 0
	}
	return s&schema.Bool != 0
}

// retype reads a text as the YAML scalar it looks like.
func retype(n *node, s schema.Scalar) bool {
	k, text := textKind, n.text
	switch plainTag(n.text) {
	case "!!bool":
		k, text = boolKind, strings.ToLower(n.text)
	case "!!int":
		k, text = intText(n.text)
	case "!!float":
		k, text = floatText(n.text)
	}
	if k == textKind || !admits(s, k) {
		return false
	}
	n.kind, n.text = k, text
	return true
}

func (c *conformer) boolean(n *node, v *schema.Value, t *trail) *node {
	if n.kind == boolKind {
		return n
	}
	switch strings.ToLower(n.text) {
	case "true", "y", "yes", "on":
		n.kind, n.text = boolKind, "true"
	case "false", "n", "no", "off":
		n.kind, n.text = boolKind, "false"
	default:
		return c.fault(n, "", "%s must be true or false, not %s", t.subject(), quote(n.text))
	}
	return n
}

func (c *conformer) number(n *node, v *schema.Value, t *trail) *node {
	var value float64
	var err error
	switch {
	case v.Meaning == schema.Devices && strings.EqualFold(n.text, "all"):
		n.kind, n.text = intKind, "-1"
		return n
	case v.Meaning == schema.Mask:
		var u uint64
		u, err = strconv.ParseUint(n.text, 0, 32)
		if n.kind == intKind {
			u, err = strconv.ParseUint(n.text, 10, 32)
		}
		n.kind, n.text = intKind, strconv.FormatUint(u, 10)
	case v.Meaning == schema.Decimal:
		value, err = strconv.ParseFloat(n.text, 64)
	default:
		var i int64
		i, err = strconv.ParseInt(n.text, 10, 64)
		if err != nil && n.kind == floatKind {
			if f, ferr := strconv.ParseFloat(n.text, 64); ferr == nil && f == float64(int64(f)) {
				i, err = int64(f), nil
				n.text = strconv.FormatInt(i, 10)
			}
		}
		value = float64(i)
		if err == nil {
			n.kind = intKind
		}
	}
	if err != nil || value != value {
		what := "a whole number"
		if v.Meaning == schema.Decimal {
			what = "a number"
		}
		return c.fault(n, "", "%s must be %s, not %s", t.subject(), what, quote(n.text))
	}
	if v.Max != 0 && (value < float64(v.Min) || value > float64(v.Max)) {
		if v.Max == 1<<63-1 {
			return c.fault(n, "", "%s must be %d or more, not %s", t.subject(), v.Min, n.text)
		}
		return c.fault(n, "", "%s must be between %d and %d, not %s", t.subject(), v.Min, v.Max, n.text)
	}
	return n
}

// micros reads microseconds; a duration is as good as a number.
func (c *conformer) micros(n *node, t *trail) *node {
	if i, err := strconv.ParseInt(n.text, 10, 64); err == nil {
		n.kind, n.text = intKind, strconv.FormatInt(i, 10)
		return n
	}
	d, err := parsePeriod(n.text)
	if err != nil {
		return c.fault(n, "write microseconds, or a duration such as 50ms", "%s must be a number or a duration, not %s", t.subject(), quote(n.text))
	}
	n.kind, n.text = intKind, strconv.FormatInt(d.Microseconds(), 10)
	return n
}

// validPull reports whether s is a pull policy.
func validPull(s string) bool {
	switch s {
	case "always", "never", "build", "if_not_present", "missing", "refresh", "daily", "weekly":
		return true
	}
	every, ok := strings.CutPrefix(s, "every_")
	if !ok {
		return false
	}
	_, err := parsePeriod(every)
	return err == nil
}

func validContainerName(s string) bool {
	for i := range len(s) {
		c := s[i]
		word := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !word && (i == 0 || c != '_' && c != '.' && c != '-') {
			return false
		}
	}
	return len(s) > 1
}
