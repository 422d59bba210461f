package load

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"gopkg.in/yaml.v3"

	"devstack/schema"
)

// forms collects which keys, and which forms of their values, project files
// use. A key is known by the mapping that declares it, so that what services,
// jobs and pre_start share counts once.
type forms struct {
	want map[string]bool // "services.*.build text" -> seen
	path map[string]string
}

func newForms() *forms {
	f := &forms{want: map[string]bool{}, path: map[string]string{}}
	f.value(schema.Project.Lookup("services"), ".services")
	f.declare(&schema.Project, "")
	return f
}

// id names a key by where its group of keys was met first.
func (f *forms) id(group []schema.Key, k schema.Key, at string) (string, bool) {
	p := fmt.Sprintf("%p", &group[0])
	first, known := f.path[p]
	if !known {
		first = at
		f.path[p] = at
	}
	return first + "." + k.Name, known
}

func (f *forms) declare(v *schema.Value, at string) {
	for _, group := range v.Keys {
		p := fmt.Sprintf("%p", &group[0])
		if _, known := f.path[p]; known {
			continue
		}
		f.path[p] = at
		for _, k := range group {
			f.value(k.Value, f.path[p]+"."+k.Name)
		}
	}
	if v.Map != nil {
		f.value(v.Map, at+".*")
	}
}

func (f *forms) value(v *schema.Value, at string) {
	for _, s := range []struct {
		bit  schema.Scalar
		name string
	}{{schema.Text, "text"}, {schema.Bool, "bool"}, {schema.Null, "null"}, {schema.Int, "int"}} {
		if v.Scalar&s.bit != 0 {
			f.want[at+" "+s.name] = false
		}
	}
	if v.List != nil {
		f.want[at+" list"] = false
		f.value(v.List, at+"[]")
	}
	if v.IsMapping() {
		f.want[at+" map"] = false
		f.declare(v, at)
	}
}

func (f *forms) see(n *yaml.Node, v *schema.Value, at string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	mark := func(form string) {
		if _, ok := f.want[at+" "+form]; ok {
			f.want[at+" "+form] = true
		}
	}
	switch n.Kind {
	case yaml.ScalarNode:
		mark(map[string]string{"!!str": "text", "!!bool": "bool", "!!null": "null", "!!int": "int", "!!float": "int"}[n.Tag])
	case yaml.SequenceNode:
		mark("list")
		for _, e := range n.Content {
			if v.List != nil {
				f.see(e, v.List, at+"[]")
			}
		}
	case yaml.MappingNode:
		mark("map")
		for i := 0; i < len(n.Content); i += 2 {
			f.seeKey(n.Content[i].Value, n.Content[i+1], v, at)
		}
	}
}

func (f *forms) seeKey(key string, n *yaml.Node, v *schema.Value, at string) {
	for _, group := range v.Keys {
		for _, k := range group {
			if k.Name == key {
				id, _ := f.id(group, k, at)
				f.see(n, k.Value, id)
				return
			}
		}
	}
	if v.Map != nil && !strings.HasPrefix(key, "x-") && key != "<<" {
		f.see(n, v.Map, at+".*")
	}
}

// compatFiles are the project files that the tests load with both loaders.
func compatFiles(t *testing.T) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	plain, err := filepath.Glob("testdata/compat/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range plain {
		if out[file], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	archives, err := filepath.Glob("testdata/compat-multi/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, archive := range archives {
		a, err := txtar.ParseFile(archive)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			if ext := filepath.Ext(f.Name); ext == ".yaml" || ext == ".yml" {
				out[archive+"/"+f.Name] = f.Data
			}
		}
	}
	return out
}

// TestCompatCovers tells which keys and forms of the specification no file of
// the comparison with compose-go uses.
func TestCompatCovers(t *testing.T) {
	files := compatFiles(t)
	if len(files) < 150 {
		t.Errorf("%d project files, want 150 or more", len(files))
	}
	f := newForms()
	for name, data := range files {
		var doc yaml.Node
		if err := yaml.Unmarshal(data, &doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(doc.Content) > 0 {
			f.see(doc.Content[0], &schema.Project, "")
		}
	}
	var missing []string
	for form, seen := range f.want {
		if !seen {
			missing = append(missing, form)
		}
	}
	slices.Sort(missing)
	t.Logf("%d files, %d of %d forms", len(files), len(f.want)-len(missing), len(f.want))
	if len(missing) > 0 {
		t.Errorf("used by no file:\n%s", strings.Join(missing, "\n"))
	}
}
