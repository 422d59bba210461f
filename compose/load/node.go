package load

import (
	"strconv"
	"strings"
)

// kind is the kind of a node.
type kind uint8

const (
	nullKind kind = iota
	textKind
	intKind
	floatKind
	boolKind
	listKind
	mapKind
)

// tag is what !reset and !override ask for when files merge.
type tag uint8

const (
	noTag tag = iota
	resetTag
	overrideTag
)

// node is a value of a project file, with aliases followed, merge keys applied
// and variables put in.
type node struct {
	kind     kind
	tag      tag
	expanded bool // text that a variable went into
	place
	text string // of a scalar
	list []*node
	keys []entry
}

// entry is a key of a mapping and its value. Keys keep the file's order.
type entry struct {
	key string
	at  place
	val *node
}

// get finds the value under key, or nil.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for i := range n.keys {
		if n.keys[i].key == key {
			return n.keys[i].val
		}
	}
	return nil
}

// entry finds the entry of key, or nil.
func (n *node) entry(key string) *entry {
	if n == nil {
		return nil
	}
	for i := range n.keys {
		if n.keys[i].key == key {
			return &n.keys[i]
		}
	}
	return nil
}

// set puts val under key, at the place of the key it replaces if there is one.
func (n *node) set(key string, at place, val *node) {
	for i := range n.keys {
		if n.keys[i].key == key {
			n.keys[i] = entry{key, at, val}
			return
		}
	}
	n.keys = append(n.keys, entry{key, at, val})
}

// remove drops key.
func (n *node) remove(key string) {
	for i := range n.keys {
		if n.keys[i].key == key {
			n.keys = append(n.keys[:i], n.keys[i+1:]...)
			return
		}
	}
}

// str is the text of a scalar under key, or "".
func (n *node) str(key string) string {
	if v := n.get(key); v != nil && v.isScalar() {
		return v.text
	}
	return ""
}

func (n *node) isScalar() bool {
	return n.kind >= textKind && n.kind <= boolKind
}

// clone copies a node with all below it, without merge tags and what they reset.
func (n *node) clone() *node { return n.copy(false) }

// copy copies a node with all below it, with its merge tags or as clone.
func (n *node) copy(tags bool) *node {
	if n == nil {
		return nil
	}
	c := *n
	if !tags {
		c.tag = noTag
	}
	if n.list != nil {
		c.list = make([]*node, len(n.list))
		for i, e := range n.list {
			c.list[i] = e.copy(tags)
		}
	}
	if n.keys != nil {
		c.keys = make([]entry, 0, len(n.keys))
		for _, e := range n.keys {
			if tags || e.val.tag != resetTag {
				c.keys = append(c.keys, entry{e.key, e.at, e.val.copy(tags)})
			}
		}
	}
	return &c
}

// equal compares two values, wherever they stand.
func (n *node) equal(o *node) bool {
	if n.kind != o.kind || n.text != o.text || len(n.list) != len(o.list) || len(n.keys) != len(o.keys) {
		return false
	}
	for i := range n.list {
		if !n.list[i].equal(o.list[i]) {
			return false
		}
	}
	for i := range n.keys {
		v := o.get(n.keys[i].key)
		if v == nil || !n.keys[i].val.equal(v) {
			return false
		}
	}
	return true
}

// describe names the kind of a node for messages.
func (n *node) describe() string {
	switch n.kind {
	case nullKind:
		return "nothing"
	case textKind:
		return "text"
	case intKind, floatKind:
		return "the number " + clip(n.text)
	case boolKind:
		return n.text
	case listKind:
		return "a list"
	}
	return "a mapping"
}

// at makes a scalar, list or mapping that stands where p does.
func textAt(p place, s string) *node { return &node{kind: textKind, place: p, text: s} }

func intAt(p place, i int) *node       { return &node{kind: intKind, place: p, text: strconv.Itoa(i)} }
func nullAt(p place) *node             { return &node{place: p} }
func listAt(p place, l ...*node) *node { return &node{kind: listKind, place: p, list: l} }
func mapAt(p place, kv ...entry) *node { return &node{kind: mapKind, place: p, keys: kv} }
func pair(k string, v *node) entry     { return entry{k, v.place, v} }
func boolAt(p place, b bool) *node {
	return &node{kind: boolKind, place: p, text: strconv.FormatBool(b)}
}

// isExtension reports whether key is one of the user's own.
func isExtension(key string) bool { return strings.HasPrefix(key, "x-") }
