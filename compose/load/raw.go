package load

import (
	"context"
	"reflect"
	"slices"
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
	dict.remove("name")
	rest := convert(reflect.ValueOf(plain(dict))).(object)
	tree := append(object{{key: "name", val: ld.name}}, rest...)
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
func (m *Model) JSON() ([]byte, error) { return encodeJSON(m.tree) }
