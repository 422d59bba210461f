package main

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"gopkg.in/yaml.v3"

	"devstack/schema"
)

var updateKeys = flag.Bool("update-keys", false, "write KEYS.md anew")

// specKey is a key of the project file, known by the first place at which the
// schema has it: what services, jobs and pre_start share is listed once.
type specKey struct{ path, doc string }

// specification are the schema's keys in its order, services' first, and where
// each group of them is known.
type specification struct {
	keys   []specKey
	groups map[*schema.Key]string
}

func newSpecification() *specification {
	s := &specification{groups: map[*schema.Key]string{}}
	s.walk(schema.Project.Lookup("services"), "services")
	s.walk(&schema.Project, "")
	return s
}

func join(at, key string) string { return strings.TrimPrefix(at+"."+key, ".") }

func (s *specification) walk(v *schema.Value, at string) {
	if v == nil {
		return
	}
	for _, group := range v.Keys {
		if _, known := s.groups[&group[0]]; known {
			continue
		}
		s.groups[&group[0]] = at
		for _, k := range group {
			s.keys = append(s.keys, specKey{join(at, k.Name), k.Doc})
			s.walk(k.Value, join(at, k.Name))
		}
	}
	s.walk(v.List, at)
	s.walk(v.Map, at+".*")
}

// uses adds the keys that a piece of a project file sets.
func (s *specification) uses(n *yaml.Node, v *schema.Value, used map[string]bool) {
	switch {
	case v == nil:
	case n.Kind == yaml.AliasNode:
		s.uses(n.Alias, v, used)
	case n.Kind == yaml.DocumentNode:
		s.uses(n.Content[0], v, used)
	case n.Kind == yaml.SequenceNode:
		for _, e := range n.Content {
			s.uses(e, v.List, used)
		}
	case n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			s.usesKey(n.Content[i].Value, n.Content[i+1], v, used)
		}
	}
}

func (s *specification) usesKey(key string, n *yaml.Node, v *schema.Value, used map[string]bool) {
	if key == "<<" { // one mapping, or a list of them
		if n.Kind == yaml.SequenceNode {
			for _, e := range n.Content {
				s.uses(e, v, used)
			}
			return
		}
		s.uses(n, v, used)
		return
	}
	for _, group := range v.Keys {
		for _, k := range group {
			if k.Name == key {
				used[join(s.groups[&group[0]], key)] = true
				s.uses(n, k.Value, used)
				return
			}
		}
	}
	if !strings.HasPrefix(key, "x-") {
		s.uses(n, v.Map, used)
	}
}

// scripts are the testscripts by name, with the keys that their project files
// set.
func scripts(t *testing.T, s *specification) map[string]map[string]bool {
	t.Helper()
	out := map[string]map[string]bool{}
	for _, pattern := range []string{"testdata/script/*.txtar", "testdata/script/engine/*.txtar"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			used := map[string]bool{}
			for _, f := range archive.Files {
				var doc yaml.Node
				if ext := filepath.Ext(f.Name); (ext == ".yaml" || ext == ".yml") && yaml.Unmarshal(f.Data, &doc) == nil && doc.Kind != 0 {
					s.uses(&doc, &schema.Project, used)
				}
			}
			name := strings.TrimSuffix(strings.TrimPrefix(filepath.ToSlash(file), "testdata/script/"), ".txtar")
			out[name] = used
		}
	}
	return out
}

// entry is a line of testdata/keys.txt: PATH TEST [REMARK]. A remark in
// brackets says that the key has no effect: what is below it has no entry.
type entry struct{ path, test, remark string }

func (e entry) covers(path string) bool {
	return strings.HasPrefix(e.remark, "[") && strings.HasPrefix(path, e.path+".")
}

func readEntries(t *testing.T) []entry {
	t.Helper()
	text, err := os.ReadFile("testdata/keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []entry
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		path, rest, _ := strings.Cut(line, " ")
		test, remark, _ := strings.Cut(strings.TrimSpace(rest), " ")
		out = append(out, entry{path, test, strings.TrimSpace(remark)})
	}
	return out
}

// TestKeysTable holds that every key of the specification, and no other, is in
// testdata/keys.txt with a test whose project file sets it, and that KEYS.md
// says so.
func TestKeysTable(t *testing.T) {
	spec := newSpecification()
	tests := scripts(t, spec)
	entries := readEntries(t)
	byPath := map[string]entry{}
	for _, e := range entries {
		if _, twice := byPath[e.path]; twice {
			t.Errorf("%s is listed twice", e.path)
		}
		byPath[e.path] = e
		used, ok := tests[e.test]
		switch {
		case !slices.ContainsFunc(spec.keys, func(k specKey) bool { return k.path == e.path }):
			t.Errorf("%s is no key of the schema", e.path)
		case !ok:
			t.Errorf("%s: there is no script %s", e.path, e.test)
		case !used[e.path]:
			t.Errorf("%s: script %s does not set it", e.path, e.test)
		}
	}
	for _, k := range spec.keys {
		_, listed := byPath[k.path]
		if listed || slices.ContainsFunc(entries, func(e entry) bool { return e.covers(k.path) }) {
			continue
		}
		var with []string
		for _, name := range slices.Sorted(maps.Keys(tests)) {
			if tests[name][k.path] {
				with = append(with, name)
			}
		}
		t.Errorf("%s is not listed; scripts that set it: %s", k.path, strings.Join(with, " "))
	}
	got := keysTable(spec, byPath)
	if *updateKeys {
		if err := os.WriteFile("../../KEYS.md", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("../../KEYS.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Error("KEYS.md is not what testdata/keys.txt says: go test -run TestKeysTable ./cmd/devstack -update-keys")
	}
}

// keysTable is KEYS.md.
func keysTable(spec *specification, entries map[string]entry) []byte {
	var b bytes.Buffer
	b.WriteString(`# Every key of a project file

What devstack does with each key of the Compose Specification, and the script below
[cmd/devstack/testdata/script](cmd/devstack/testdata/script) whose running containers, or whose
notice, show it. A remark in brackets tells of a key without effect: a line says so when it is
used. This page is generated from cmd/devstack/testdata/keys.txt; a test holds it to the schema in
both directions, and the scripts to the keys that they are said to set.
`)
	for _, section := range []struct{ title, prefix string }{
		{"Top level", ""},
		{"Services", "services.*."},
		{"Builds: services.*.build", "services.*.build."},
		{"Below the keys of services", "services.*.*"},
		{"Below the keys of the top level", "*"},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n| key | what it is | | shown by |\n|---|---|---|---|\n", section.title)
		for _, k := range spec.keys {
			e, ok := entries[k.path]
			if ok && sectionOf(k.path) == section.prefix {
				fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", strings.TrimPrefix(strings.TrimPrefix(k.path, "services.*."), "build."), k.doc, e.remark, e.test)
			}
		}
	}
	return b.Bytes()
}

func sectionOf(path string) string {
	rest, ofService := strings.CutPrefix(path, "services.*.")
	switch {
	case ofService && !strings.Contains(rest, "."):
		return "services.*."
	case strings.HasPrefix(rest, "build.") && strings.Count(rest, ".") == 1 && ofService:
		return "services.*.build."
	case ofService:
		return "services.*.*"
	case !strings.Contains(path, "."):
		return ""
	}
	return "*"
}
