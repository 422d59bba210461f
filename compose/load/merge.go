package load

import (
	"strings"

	"devstack/schema"
)

// merge gives base with over on top, by the rules of v. Both are in their long
// form; base is changed and may be returned.
func merge(base, over *node, v *schema.Value) *node {
	switch {
	case base == nil || base.tag == resetTag || over.tag != noTag:
		return over
	case v.Merge == schema.Replace:
		return over
	case over.kind == nullKind:
		return base
	case base.kind != over.kind:
		return over
	}
	switch over.kind {
	case mapKind:
		if v.Merge == schema.Driver {
			a, b := base.str("driver"), over.str("driver")
			if a != "" && b != "" && a != b {
				return over
			}
		}
		mergeKeys(base, over, v)
		return base
	case listKind:
		if v.Merge == schema.Subnets {
			return mergeSubnets(base, over, v.List)
		}
		base.list = distinct(append(base.list, over.list...), v.Unique, v.Merge)
		return base
	}
	return over
}

// mergeKeys merges mappings key by key.
func mergeKeys(base, over *node, v *schema.Value) {
	var at map[string]int
	if len(base.keys) > smallObject {
		at = make(map[string]int, len(base.keys))
		for i, e := range base.keys {
			at[e.key] = i
		}
	}
	find := func(key string) int {
		if at != nil {
			if i, ok := at[key]; ok {
				return i
			}
			return -1
		}
		for i := range base.keys {
			if base.keys[i].key == key {
				return i
			}
		}
		return -1
	}
	for _, e := range over.keys {
		i := find(e.key)
		if i < 0 {
			if at != nil {
				at[e.key] = len(base.keys)
			}
			base.keys = append(base.keys, e)
			continue
		}
		below := v.Lookup(e.key)
		if below == nil {
			below = &schema.Value{} // an x-* key: mappings merge, lists append
		}
		if v.Merge == schema.Keyed {
			base.keys[i] = e
			continue
		}
		merged := merge(base.keys[i].val, e.val, below)
		if merged == base.keys[i].val {
			continue // the key keeps its place: parts of its value still come from there
		}
		base.keys[i] = entry{e.key, e.at, merged}
	}
}

// mergeSubnets merges address pools that have the same subnet.
func mergeSubnets(base, over *node, v *schema.Value) *node {
next:
	for _, o := range over.list {
		for i, b := range base.list {
			if b.str("subnet") == o.str("subnet") {
				base.list[i] = merge(b, o, v)
				continue next
			}
		}
		base.list = append(base.list, o)
	}
	return base
}

// distinct drops entries that a later one of the same identity replaces. The
// later one takes the earlier one's turn.
func distinct(list []*node, by schema.Unique, rule schema.Merge) []*node {
	if len(list) < 2 || rule == schema.Replace {
		return list
	}
	out := list[:0:len(list)]
	if by == schema.Whole {
		type scalar struct {
			kind kind
			text string
		}
		seen := make(map[scalar]bool, len(list))
		for _, n := range list {
			if n.isScalar() {
				if s := (scalar{n.kind, n.text}); !seen[s] {
					seen[s] = true
					out = append(out, n)
				}
				continue
			}
			if !contains(out, n) {
				out = append(out, n)
			}
		}
		return out
	}
	at := make(map[string]int, len(list))
	for _, n := range list {
		id := identity(n, by)
		if i, ok := at[id]; ok {
			out[i] = n
			continue
		}
		at[id] = len(out)
		out = append(out, n)
	}
	return out
}

func contains(list []*node, n *node) bool {
	for _, o := range list {
		if o.equal(n) {
			return true
		}
	}
	return false
}

// identity is what makes a list entry the same as another.
func identity(n *node, by schema.Unique) string {
	if by != schema.ByKey && by != schema.ByMountPoint && n.isScalar() {
		return n.text
	}
	switch by {
	case schema.ByKey:
		key, _, _ := strings.Cut(n.text, "=")
		return key
	case schema.ByMountPoint:
		key, _, _ := strings.Cut(n.text, ":")
		return key
	case schema.ByTarget:
		return n.str("target")
	case schema.ByPath:
		return n.str("path")
	case schema.BySecretPath, schema.ByConfigPath:
		if t := n.str("target"); t != "" {
			return t
		}
		if by == schema.BySecretPath {
			return "/run/secrets/" + n.str("source")
		}
		return "/" + n.str("source")
	case schema.ByPort:
		host := n.str("host_ip")
		if host == "" {
			host = "0.0.0.0"
		}
		return host + ":" + n.str("published") + ":" + n.str("target") + "/" + n.str("protocol")
	}
	return n.text
}
