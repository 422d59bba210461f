package load

import (
	"fmt"
	"strconv"
	"strings"

	"devstack/schema"
)

// conformer checks one document against the schema and gives every value its
// long form, with paths made absolute. What is at fault is left out of the
// result, so that later phases see only what they can trust.
type conformer struct {
	ld   *loader
	base string // what relative paths are relative to
}

// trail is the way from the top of the document to a value.
type trail struct {
	up  *trail
	key string
	v   *schema.Value
}

// String names the value: services.web.ports[0].
func (t *trail) String() string {
	if t == nil || t.up == nil {
		return ""
	}
	above := t.up.String()
	switch {
	case above == "":
		return t.key
	case strings.HasPrefix(t.key, "["):
		return above + t.key
	}
	return above + "." + t.key
}

// subject begins a message about the value.
func (t *trail) subject() string {
	if s := t.String(); s != "" {
		return s
	}
	return "the project file"
}

func (c *conformer) fault(n *node, hint, format string, args ...any) *node {
	if n.kind == nullKind {
		c.ld.findingPos(n.pos(), SeverityError, fmt.Sprintf(format, args...), hint)
		return nil
	}
	c.ld.add(n.diagnose(SeverityError, n.text, fmt.Sprintf(format, args...), hint))
	return nil
}

// conform checks n and gives its long form, or nil.
func (c *conformer) conform(n *node, v *schema.Value, t *trail) *node {
	if n.tag == resetTag {
		return n
	}
	if c.leave(n) {
		return n
	}
	long := c.lengthen(n, v, t)
	if long != nil {
		long.tag = n.tag
	}
	return long
}

// leave says that a value cannot be understood as long as its variables stay
// what they are.
func (c *conformer) leave(n *node) bool {
	return c.ld.opts.raw && n.kind == textKind && strings.Contains(n.text, "$")
}

func (c *conformer) lengthen(n *node, v *schema.Value, t *trail) *node {
	switch n.kind {
	case nullKind:
		if v.Scalar&schema.Null == 0 {
			return c.mismatch(n, v, t)
		}
		return n
	case mapKind:
		if !v.IsMapping() {
			return c.mismatch(n, v, t)
		}
		return c.mapping(n, v, t)
	case listKind:
		if v.List == nil {
			return c.mismatch(n, v, t)
		}
		return c.sequence(n, v, t)
	}
	if n = c.scalar(n, v, t); n == nil {
		return nil
	}
	return c.longScalar(n, v, t)
}

// mapping conforms each value of a mapping.
func (c *conformer) mapping(n *node, v *schema.Value, t *trail) *node {
	promote(n, v)
	kept := n.keys[:0]
	for _, e := range n.keys {
		inner := v.Lookup(e.key)
		if inner == nil {
			if isExtension(e.key) && v.Keys != nil && !v.Closed {
				kept = append(kept, e)
			} else {
				c.unknown(e, v, t)
			}
			continue
		}
		step := trail{t, e.key, inner}
		if val := c.conform(e.val, inner, &step); val != nil {
			kept = append(kept, entry{e.key, e.at, val})
		}
	}
	n.keys = kept
	return c.longMapping(n, v, t)
}

// promote gives keys that began as extensions the names they have now, as
// Compose does. Where both are set the one of the specification wins.
func promote(n *node, v *schema.Value) {
	for _, old := range [...][2]string{{"x-develop", "develop"}, {"x-initialSync", "initial_sync"}} {
		e := n.entry(old[0])
		if e == nil || v.Lookup(old[1]) == nil {
			continue
		}
		if n.get(old[1]) == nil {
			e.key = old[1]
		} else {
			n.remove(old[0])
		}
	}
}

// sequence conforms each entry of a list.
func (c *conformer) sequence(n *node, v *schema.Value, t *trail) *node {
	if v.Short == schema.Ports {
		var ports []*node
		for i, e := range n.list {
			ports = append(ports, c.port(e, v.List, &trail{t, indexed(i), v.List})...)
		}
		n.list = ports
		return c.longList(n, v, t)
	}
	kept := n.list[:0]
	for i, e := range n.list {
		step := trail{t, indexed(i), v.List}
		if val := c.conform(e, v.List, &step); val != nil {
			kept = append(kept, val)
		}
	}
	n.list = kept
	return c.longList(n, v, t)
}

func indexed(i int) string { return "[" + strconv.Itoa(i) + "]" }

// kinds lists what may stand at a place, for messages.
func kinds(v *schema.Value) string {
	var is []string
	switch {
	case v.Meaning == schema.Boolean:
		is = append(is, "true or false")
	case v.Meaning == schema.Integer && v.Short == schema.AsIs:
		is = append(is, "a whole number")
	case v.Meaning == schema.Size:
		is = append(is, "a size")
	case v.Meaning == schema.Period:
		is = append(is, "a duration")
	default:
		if v.Scalar&schema.Text != 0 {
			is = append(is, "text")
		}
		if v.Scalar&(schema.Int|schema.Number) != 0 {
			is = append(is, "a number")
		}
		if v.Scalar&schema.Bool != 0 {
			is = append(is, "true or false")
		}
	}
	if v.List != nil {
		is = append(is, "a list")
	}
	if v.IsMapping() {
		is = append(is, "a mapping")
	}
	if len(is) > 1 {
		return strings.Join(is[:len(is)-1], ", ") + " or " + is[len(is)-1]
	}
	return strings.Join(is, "")
}

// mismatch reports a value of the wrong kind.
func (c *conformer) mismatch(n *node, v *schema.Value, t *trail) *node {
	hint := ""
	switch {
	case n.kind == nullKind && t.key != "":
		hint = "give it a value, or remove the key"
	case (n.kind == intKind || n.kind == floatKind || n.kind == boolKind) && v.Scalar&schema.Text != 0 && v.Meaning == schema.Any:
		hint = "quote it: \"" + clip(n.text) + "\""
	case n.isScalar() && v.List != nil && !v.IsMapping():
		hint = "write it as a list: [\"" + clip(n.text) + "\"]"
	case n.kind == listKind && v.IsMapping() && v.List == nil:
		hint = "remove the dashes: a mapping has lines of key: value"
	case n.kind == mapKind && v.List != nil && !v.IsMapping():
		hint = "begin each entry with a dash"
	}
	if n.kind == nullKind {
		return c.fault(n, hint, "%s has no value; it must be %s", t.subject(), kinds(v))
	}
	return c.fault(n, hint, "%s must be %s, not %s", t.subject(), kinds(v), n.describe())
}

// unknown reports a key that the specification does not have there.
func (c *conformer) unknown(e entry, v *schema.Value, t *trail) {
	message := "unknown key " + quote(e.key)
	if s := t.String(); s != "" {
		message += " in " + s
	}
	c.ld.add(e.at.diagnose(SeverityError, e.key, message, unknownHint(e, v, t)))
}

// unknownHint guesses what was meant.
func unknownHint(e entry, v *schema.Value, t *trail) string {
	if v.Map != nil && v.Keys == nil {
		if v.Names == schema.Lower {
			return "names are made of lower-case letters here"
		}
		return "names are made of letters, digits, dots, underscores and hyphens"
	}
	if near := nearest(e.key, v); near != "" {
		return "did you mean " + quote(near) + "?"
	}
	for up := t.up; up != nil; up = up.up {
		if up.v != nil && up.v.Keys != nil && up.v.Lookup(e.key) != nil {
			if where := up.String(); where != "" {
				return quote(e.key) + " is a key of " + where + ": check the indentation"
			}
			return quote(e.key) + " is a key of the top level: check the indentation"
		}
	}
	if t.up == nil && e.val.kind == mapKind && (e.val.get("image") != nil || e.val.get("build") != nil) {
		return "a service stands under \"services:\""
	}
	if t.up == nil && schema.ServiceValue.Lookup(e.key) != nil {
		return quote(e.key) + " is a key of a service, and services stand under \"services:\""
	}
	return "keys of your own begin with x-"
}

// within checks a value against the texts allowed.
func (c *conformer) within(n *node, v *schema.Value, t *trail) bool {
	if v.Enum == nil {
		return true
	}
	for _, s := range v.Enum {
		if n.text == s {
			return true
		}
	}
	hint := ""
	if near := closest(n.text, v.Enum); near != "" {
		hint = "did you mean " + quote(near) + "?"
	}
	c.fault(n, hint, "%s must be %s, not %s", t.subject(), oneOf(v.Enum), quote(n.text))
	return false
}

func oneOf(texts []string) string {
	if len(texts) == 1 {
		return quote(texts[0])
	}
	return "one of " + strings.Join(texts, ", ")
}
