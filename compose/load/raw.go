package load

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// Model is the merged project files with their variables as they are written.
// Values that have none are in their long forms.
type Model struct{ tree object }

// LoadModel reads and merges the project files without putting variables in.
func LoadModel(ctx context.Context, o Options) (*Model, []Diagnostic, error) {
	o.raw = true
	ld := newLoader(ctx, o)
	dict, _, err := ld.model(ctx)
	if err != nil {
		return nil, tidy(ld.warnings), err
	}
	dict.set("name", dict.place, textAt(dict.place, ld.name))
	tree := printed(dict).(object)
	at := slices.IndexFunc(tree, func(m member) bool { return m.key == "name" })
	name := tree[at]
	tree = slices.Insert(slices.Delete(tree, at, at+1), 0, name)
	return &Model{tree}, tidy(ld.warnings), nil
}

// Services keeps only the named services; none means all.
func (m *Model) Services(names []string) {
	for i := range m.tree {
		if services, ok := m.tree[i].val.(object); ok && m.tree[i].key == "services" && len(names) > 0 {
			m.tree[i].val = slices.DeleteFunc(services, func(s member) bool { return !slices.Contains(names, s.key) })
		}
	}
}

// YAML writes the model.
func (m *Model) YAML() ([]byte, error) { return encodeYAML(m.tree) }

// JSON writes the model.
func (m *Model) JSON() ([]byte, error) {
	var b, out bytes.Buffer
	if err := m.tree.json(&b); err != nil {
		return nil, err
	}
	err := json.Indent(&out, b.Bytes(), "", "  ")
	return out.Bytes(), err
}

// printed is a node as a tree to print, keys sorted.
func printed(n *node) any {
	switch n.kind {
	case mapKind:
		o := object{}
		for _, e := range n.keys {
			o = append(o, member{key: e.key, val: printed(e.val)})
		}
		slices.SortFunc(o, func(a, b member) int { return strings.Compare(a.key, b.key) })
		return o
	case listKind:
		l := make([]any, len(n.list))
		for i, e := range n.list {
			l[i] = printed(e)
		}
		return l
	case boolKind:
		return n.text == "true"
	case intKind:
		if i, err := strconv.ParseInt(n.text, 10, 64); err == nil {
			return i
		}
	case floatKind:
		if f, err := strconv.ParseFloat(n.text, 64); err == nil {
			return f
		}
	case nullKind:
		return nil
	}
	return n.text
}
