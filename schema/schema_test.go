package schema_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"devstack/schema"

	upstream "github.com/compose-spec/compose-go/v2/schema"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

type tree = map[string]any

// paths lists the keys that a JSON Schema knows, at every level.
func paths(t *testing.T, text []byte) []string {
	t.Helper()
	var root tree
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	set := map[string]bool{}
	var walk func(n tree, at string)
	walk = func(n tree, at string) {
		if ref, ok := n["$ref"].(string); ok {
			walk(root["$defs"].(tree)[strings.TrimPrefix(ref, "#/$defs/")].(tree), at)
		}
		for _, key := range []string{"oneOf", "allOf", "anyOf"} {
			branches, _ := n[key].([]any)
			for _, b := range branches {
				walk(b.(tree), at)
			}
		}
		if props, ok := n["properties"].(tree); ok {
			for k, v := range props {
				set[at+"."+k] = true
				walk(v.(tree), at+"."+k)
			}
		}
		if props, ok := n["patternProperties"].(tree); ok {
			for k, v := range props {
				if k != "^x-" {
					walk(v.(tree), at+".*")
				}
			}
		}
		if items, ok := n["items"].(tree); ok {
			walk(items, at+"[]")
		}
	}
	walk(root, "")
	var out []string
	for p := range set {
		out = append(out, p)
	}
	sort.Strings(out)
	return out
}

// TestKeys compares the keys of our schema, at every level, with those of the
// Compose Specification.
func TestKeys(t *testing.T) {
	text, err := schema.JSON()
	if err != nil {
		t.Fatal(err)
	}
	theirs, ours := paths(t, []byte(upstream.Schema)), paths(t, text)
	for _, p := range theirs {
		if !slices.Contains(ours, p) {
			t.Errorf("we lack %s", p)
		}
	}
	for _, p := range ours {
		if !slices.Contains(theirs, p) && !strings.Contains(p, ".x-devstack") && p != ".jobs.*.extends" && !strings.HasPrefix(p, ".jobs.*.extends.") {
			t.Errorf("only we have %s", p)
		}
	}
	services := 0
	for _, p := range theirs {
		if strings.HasPrefix(p, ".services.*.") && strings.Count(p, ".") == 3 && !strings.Contains(p, "[") {
			services++
		}
	}
	t.Logf("%d keys, %d of a service", len(theirs), services)
}

// TestGroupsAreSorted holds what Lookup relies on.
func TestGroupsAreSorted(t *testing.T) {
	seen := map[*schema.Value]bool{}
	var walk func(v *schema.Value)
	walk = func(v *schema.Value) {
		if v == nil || seen[v] {
			return
		}
		seen[v] = true
		for _, g := range v.Keys {
			if !slices.IsSortedFunc(g, func(a, b schema.Key) int { return strings.Compare(a.Name, b.Name) }) {
				t.Errorf("a group that begins with %s is not sorted", g[0].Name)
			}
			for _, k := range g {
				if v.Lookup(k.Name) != k.Value {
					t.Errorf("%s is not found", k.Name)
				}
				walk(k.Value)
			}
		}
		walk(v.List)
		walk(v.Map)
	}
	walk(&schema.Project)
}

// TestValidates runs the schema over the loader's test projects.
func TestValidates(t *testing.T) {
	text, err := schema.JSON()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("compose.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("compose.json")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../compose/load/testdata/compat/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := yaml.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		asJSON, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		instance, err := jsonschema.UnmarshalJSON(strings.NewReader(string(asJSON)))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiled.Validate(instance); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	var bad any = map[string]any{"services": map[string]any{"a": map[string]any{"imagee": "x"}}}
	if compiled.Validate(bad) == nil {
		t.Error("an unknown key goes through")
	}
}
