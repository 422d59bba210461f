package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	yaml4 "go.yaml.in/yaml/v4"
	"gopkg.in/yaml.v3"
)

// Bounds on what a file may ask for: an alias bomb is a fault, not a wait.
const (
	maxAliased  = 200_000 // nodes that aliases may add to one file
	maxDepth    = 200     // of nesting
	maxEntries  = 10_000  // keys of one mapping, entries of one list
	smallObject = 24      // keys up to which a mapping is searched in order
)

// parseYAML reads the documents of a file.
func (ld *loader) parseYAML(src *source) parsed {
	p := parsed{src: src}
	dec := yaml.NewDecoder(bytes.NewReader(src.data))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return p
		}
		if err != nil {
			ld.add(syntaxFault(src, err))
			return parsed{src: src}
		}
		if len(doc.Content) > 0 {
			p.docs = append(p.docs, doc.Content[0])
		}
	}
}

// syntaxFault places a syntax error. yaml.v3 often names the wrong line and
// never a column; its successor knows both, and is asked only now.
func syntaxFault(src *source, err error) Diagnostic {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	at := place{src, 1, 1}
	if rest, ok := strings.CutPrefix(message, "line "); ok {
		if number, text, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(number); err == nil {
				at.line, message = int32(n), text
			}
		}
	}
	var exact *yaml4.LoadError
	var into []yaml4.Node
	if errors.As(yaml4.Load(src.data, &into, yaml4.WithAllDocuments()), &exact) && exact.Mark.Line > 0 {
		message = exact.Message
		at = place{src, int32(exact.Mark.Line), int32(exact.Mark.Column)}
		if exact.ContextMsg != "" {
			message += " " + exact.ContextMsg
		}
		// A text or list that is never closed is best shown where it opens.
		unclosed := strings.Contains(message, "end of stream") || strings.Contains(exact.ContextMsg, "flow")
		if unclosed && exact.ContextMark.Line > 0 {
			at = place{src, int32(exact.ContextMark.Line), int32(exact.ContextMark.Column)}
		}
	}
	d := at.diagnose(SeverityError, "", "invalid YAML: "+message, "")
	switch {
	case strings.HasPrefix(strings.TrimLeft(d.Line, " "), "\t"):
		d.Hint = "YAML is indented with spaces, not with tabs"
	case strings.Contains(message, "mapping values are not allowed"):
		d.Hint = "quote a text that has \": \" in it; check the indentation and the brackets of the lines above"
	case strings.Contains(message, "did not find expected key"), strings.Contains(message, "block collection"):
		d.Hint = "check the indentation: the keys of a mapping begin in the same column"
	case strings.Contains(message, "cannot start any token"):
		d.Hint = "quote texts that begin with @, `, % or a tab"
	case strings.Contains(message, "end of stream"):
		d.Hint = "the quote opened here is never closed"
	case strings.Contains(message, "flow"):
		d.Hint = "the bracket opened here is never closed"
	}
	return d
}

// converter makes nodes of one document.
type converter struct {
	ld      *loader
	src     *source
	look    lookup
	active  []*yaml.Node // anchors being expanded
	aliased int          // nodes made from aliases
	stopped bool         // a fault that makes the rest pointless
	slab    []node
}

func (c *converter) fresh(y *yaml.Node) *node {
	if len(c.slab) == 0 {
		c.slab = make([]node, 64)
	}
	c.ld.values++
	n := &c.slab[0]
	c.slab = c.slab[1:]
	n.place = place{c.src, int32(y.Line), int32(y.Column)}
	return n
}

func (c *converter) fault(at place, known, message, hint string) {
	c.ld.add(at.diagnose(SeverityError, known, message, hint))
}

func (c *converter) convert(y *yaml.Node, depth int) *node {
	if c.stopped {
		return nil
	}
	if depth > maxDepth {
		c.stopped = true
		c.fault(place{c.src, int32(y.Line), int32(y.Column)}, "", fmt.Sprintf("values are nested more than %d deep", maxDepth), "")
		return nil
	}
	if y.Kind == yaml.AliasNode {
		return c.alias(y, depth)
	}
	if len(c.active) > 0 {
		if c.aliased++; c.aliased > maxAliased {
			c.stopped = true
			c.fault(place{c.src, int32(y.Line), int32(y.Column)}, "", fmt.Sprintf("aliases expand to more than %d values", maxAliased), "")
			return nil
		}
	}
	n := c.fresh(y)
	if len(y.Content) > 2*maxEntries { // a mapping has two nodes an entry
		c.stopped = true
		c.fault(n.place, "", fmt.Sprintf("more than %d entries in one place", maxEntries), "")
		return nil
	}
	switch y.Tag {
	case "!reset":
		n.tag = resetTag
	case "!override":
		n.tag = overrideTag
	}
	switch y.Kind {
	case yaml.ScalarNode:
		c.scalar(n, y)
	case yaml.SequenceNode:
		n.kind = listKind
		n.list = make([]*node, 0, len(y.Content))
		for _, e := range y.Content {
			if v := c.convert(e, depth+1); v != nil && v.tag != resetTag {
				n.list = append(n.list, v)
			}
		}
	case yaml.MappingNode:
		n.kind = mapKind
		c.mapping(n, y, depth)
	}
	return n
}

// alias makes the anchored value again where the alias stands.
func (c *converter) alias(y *yaml.Node, depth int) *node {
	for _, a := range c.active {
		if a == y.Alias {
			c.fault(place{c.src, int32(y.Line), int32(y.Column)}, "", "alias *"+y.Value+" refers to the value it is part of", "")
			return nil
		}
	}
	c.active = append(c.active, y.Alias)
	n := c.convert(y.Alias, depth)
	c.active = c.active[:len(c.active)-1]
	return n
}

// mapping converts a mapping; keys of its own win over merged ones, and
// earlier merged ones over later.
func (c *converter) mapping(n *node, y *yaml.Node, depth int) {
	n.keys = make([]entry, 0, len(y.Content)/2)
	var seen map[string]bool
	if len(y.Content)/2 > smallObject {
		seen = make(map[string]bool, len(y.Content)/2)
	}
	var merges []*yaml.Node
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		at := place{c.src, int32(y.Content[i].Line), int32(y.Content[i].Column)}
		if k.Tag == "!!merge" {
			merges = append(merges, v)
			continue
		}
		if k.Kind != yaml.ScalarNode {
			c.fault(at, "", "a key must be text", "")
			continue
		}
		if k.Tag != "!!str" {
			c.fault(at, k.Value, "key "+k.Value+" is not text", "quote it: \""+k.Value+"\"")
			continue
		}
		if seen != nil && seen[k.Value] || seen == nil && n.entry(k.Value) != nil {
			first := n.entry(k.Value)
			c.fault(at, k.Value, "key "+quote(k.Value)+" is set twice", fmt.Sprintf("keep one of them; the first is at line %d", first.at.line))
			continue
		}
		if val := c.convert(v, depth+1); val != nil {
			if val.kind == nullKind && v.Value == "" {
				val.place = at // nothing stands nowhere: show the key
			}
			n.keys = append(n.keys, entry{k.Value, at, val})
			if seen != nil {
				seen[k.Value] = true
			}
		}
	}
	for _, m := range merges {
		c.merge(n, m, depth)
	}
}

// merge applies the merge key's value m.
func (c *converter) merge(n *node, m *yaml.Node, depth int) {
	target := m
	if target.Kind == yaml.AliasNode {
		target = target.Alias
	}
	switch target.Kind {
	case yaml.MappingNode:
		if from := c.convert(m, depth+1); from != nil {
			for _, e := range from.keys {
				if n.entry(e.key) == nil {
					n.keys = append(n.keys, e)
				}
			}
		}
	case yaml.SequenceNode:
		for _, e := range target.Content {
			inner := e
			if inner.Kind == yaml.AliasNode {
				inner = inner.Alias
			}
			if inner.Kind == yaml.SequenceNode {
				c.fault(place{c.src, int32(e.Line), int32(e.Column)}, "", "a merge key takes mappings only", "")
				continue
			}
			c.merge(n, e, depth)
		}
	default:
		c.fault(place{c.src, int32(m.Line), int32(m.Column)}, "", "a merge key takes a mapping or a list of mappings", "")
	}
}

// scalar fills in a scalar: its type, its canonical text, its variables.
func (c *converter) scalar(n *node, y *yaml.Node) {
	t := y.Tag
	if n.tag != noTag {
		t = "!!str"
		if y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
			t = plainTag(y.Value)
		}
	}
	n.text = y.Value
	switch t {
	case "!!null":
		n.kind, n.text = nullKind, ""
	case "!!bool":
		n.kind, n.text = boolKind, strings.ToLower(y.Value)
	case "!!int":
		n.kind, n.text = intText(y.Value)
	case "!!float":
		n.kind, n.text = floatText(y.Value)
	default:
		n.kind = textKind
		if strings.IndexByte(y.Value, '$') < 0 || c.look == nil {
			return
		}
		if c.ld.opts.Variables != nil {
			variablesIn(y.Value, c.ld.opts.Variables)
		}
		if !c.ld.opts.raw {
			c.expand(n)
		}
	}
}

func (c *converter) expand(n *node) {
	text := n.text
	out, bad := expand(text, c.look, func(name string, at int) { c.ld.unset(name, n.place.seek(text, at, len(name)+1)) })
	if bad != nil {
		c.ld.add(n.place.inside(text, bad))
		return
	}
	if c.ld.expanded += len(out); c.ld.expanded > maxAllExpanded {
		c.stopped = true
		c.fault(n.place, text, "variables make the project larger than 64 MiB", "")
		return
	}
	n.expanded = n.expanded || out != text
	c.ld.trace.expanded(n.place, text)
	n.text = out
}

// plainTag types a plain scalar that carries a tag of ours.
func plainTag(s string) string {
	switch s {
	case "", "~", "null", "Null", "NULL":
		return "!!null"
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return "!!bool"
	}
	if _, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 0, 64); err == nil {
		return "!!int"
	}
	if strings.Trim(s, "0123456789.eE+-") == "" {
		if _, err := strconv.ParseFloat(s, 64); err == nil {
			return "!!float"
		}
	}
	return "!!str"
}

// intText writes a whole number in decimal digits.
func intText(s string) (kind, string) {
	if s != "" && s[0] >= '1' && s[0] <= '9' && strings.Trim(s, "0123456789") == "" {
		return intKind, s
	}
	plain := strings.ReplaceAll(s, "_", "")
	if i, err := strconv.ParseInt(plain, 0, 64); err == nil {
		return intKind, strconv.FormatInt(i, 10)
	}
	if u, err := strconv.ParseUint(plain, 0, 64); err == nil {
		return intKind, strconv.FormatUint(u, 10)
	}
	return floatText(plain)
}

// floatText writes a number as Go's %v does, which is what Compose makes of
// numbers in places that hold text.
func floatText(s string) (kind, string) {
	f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	if err != nil {
		switch strings.ToLower(strings.TrimLeft(s, "+-")) {
		case ".inf":
			return floatKind, map[bool]string{true: "-Inf", false: "+Inf"}[s[0] == '-']
		case ".nan":
			return floatKind, "NaN"
		}
		return textKind, s
	}
	return floatKind, fmt.Sprint(f)
}
