package load

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// TestCompatMerge merges every form of every service and build key with every
// other one, in both ways that merge: a second file, and extends. Forms are the
// services of the files testdata/compat/{key,build,deploy}-*.yaml.
func TestCompatMerge(t *testing.T) {
	files, err := filepath.Glob("testdata/compat/[kbd][eu]*-*.yaml")
	if err != nil || len(files) < 100 {
		t.Fatal(len(files), err)
	}
	known := knownMerges()
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var top map[string]yaml.Node
		var services map[string]map[string]any
		if err := yaml.Unmarshal(data, &top); err != nil {
			t.Fatal(err)
		}
		node := top["services"]
		if err := node.Decode(&services); err != nil {
			continue // values that Go maps do not hold
		}
		delete(top, "services")
		delete(top, "name")
		rest := map[string]any{}
		for k, n := range top {
			var v any
			if err := n.Decode(&v); err != nil {
				t.Fatal(err)
			}
			rest[k] = v
		}
		for how, write := range map[string]mergeWriter{
			"files": mergeByFiles, "extends": mergeByExtends,
			"reset": tagged(name, "!reset"), "override": tagged(name, "!override"),
		} {
			id := name + "/" + how
			t.Run(id, func(t *testing.T) {
				compare(t, write(t, services, rest), true, known[id])
			})
		}
	}
}

// knownMerges are merges that the two loaders do differently, and why.
func knownMerges() map[string]string {
	known := map[string]string{
		"build-no_cache_filter": "compose-go cannot merge the text form with the list form",
		"build-ssh":             "compose-go cannot merge two lists of ssh",
		"build-extra_hosts":     "compose-go keeps an address twice when one file writes host:ip and the other host=ip",
		"key-extra_hosts":       "compose-go keeps an address twice when one file writes host:ip and the other host=ip",
		"key-gpus":              "compose-go cannot merge gpus: all with a list",
		"key-ports":             "compose-go takes the same port twice when one file writes its number as text",
		"key-tmpfs":             "compose-go keeps both entries of one mount point, and then refuses them",
	}
	out := map[string]string{}
	for name, why := range known {
		out[name+"/files"], out[name+"/extends"] = why, why
	}
	delete(out, "key-ports/extends")
	delete(out, "build-ssh/extends")
	for _, name := range []string{"key-command", "key-entrypoint", "key-umask"} {
		out[name+"/override"] = "compose-go takes !override null for the text null"
	}
	out["key-use_api_socket/override"] = "compose-go takes !override true for the text true"
	out["key-image/reset"] = "a service needs an image"
	out["key-provider/reset"] = "a service needs an image"
	return out
}

func mergeByFiles(t *testing.T, forms map[string]map[string]any, rest map[string]any) Options {
	base, over := clonePart(forms), map[string]any{}
	for _, pair := range pairsOf(forms, false) {
		base[pair.name] = forms[pair.base]
		over[pair.name] = without(forms[pair.over])
	}
	dir := t.TempDir()
	doc := maps.Clone(rest)
	doc["name"], doc["services"] = "merge", base
	o := Options{Environ: hostEnv(), WorkingDir: dir}
	for i, d := range []any{doc, map[string]any{"services": over}} {
		o.Files = append(o.Files, writeYAML(t, filepath.Join(dir, fmt.Sprintf("%d.yaml", i)), d))
	}
	t.Chdir(dir)
	envFilesOf(t, dir)
	return o
}

func mergeByExtends(t *testing.T, forms map[string]map[string]any, rest map[string]any) Options {
	services := clonePart(forms)
	for _, pair := range pairsOf(forms, true) {
		s := without(forms[pair.over])
		s["extends"] = pair.base
		services[pair.name] = s
	}
	dir := t.TempDir()
	doc := maps.Clone(rest)
	doc["name"], doc["services"] = "merge", services
	t.Chdir(dir)
	envFilesOf(t, dir)
	return Options{Environ: hostEnv(), WorkingDir: dir, Files: []string{writeYAML(t, filepath.Join(dir, "c.yaml"), doc)}}
}

type mergeWriter func(*testing.T, map[string]map[string]any, map[string]any) Options

// tagged overrides the key that a file is about under a tag.
func tagged(file, tag string) mergeWriter {
	section, key, _ := strings.Cut(file, "-")
	path := []string{section, key}
	switch section {
	case "key":
		path = path[1:]
	case "deploy":
		path[1], _, _ = strings.Cut(key, "-")
	}
	return func(t *testing.T, forms map[string]map[string]any, rest map[string]any) Options {
		base, over := clonePart(forms), map[string]any{}
		for _, pair := range pairsOf(forms, true) {
			base[pair.name] = forms[pair.base]
			var n yaml.Node
			if err := n.Encode(forms[pair.over]); err != nil {
				t.Fatal(err)
			}
			if !tagAt(&n, path, tag) {
				continue
			}
			over[pair.name] = &n
		}
		dir := t.TempDir()
		doc := maps.Clone(rest)
		doc["name"], doc["services"] = "merge", base
		o := Options{Environ: hostEnv(), WorkingDir: dir}
		for i, d := range []any{doc, map[string]any{"services": over}} {
			o.Files = append(o.Files, writeYAML(t, filepath.Join(dir, fmt.Sprintf("%d.yaml", i)), d))
		}
		t.Chdir(dir)
		envFilesOf(t, dir)
		return o
	}
}

// tagAt tags the value at path.
func tagAt(n *yaml.Node, path []string, tag string) bool {
	if len(path) == 0 {
		n.Tag, n.Style = tag, n.Style|yaml.TaggedStyle
		return true
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == path[0] {
			return tagAt(n.Content[i+1], path[1:], tag)
		}
	}
	return false
}

type formPair struct{ name, base, over string }

// pairsOf pairs every form with every other one, or with its neighbour only.
func pairsOf(forms map[string]map[string]any, neighbours bool) []formPair {
	var out []formPair
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(forms)), func(n string) bool { return strings.HasPrefix(n, "dep") })
	for i, a := range names {
		for j, b := range names {
			if i != j && (!neighbours || j == (i+1)%len(names)) {
				out = append(out, formPair{a + "-" + b, a, b})
			}
		}
	}
	return out
}

// clonePart keeps the services that the forms lean on.
func clonePart(forms map[string]map[string]any) map[string]any {
	out := map[string]any{}
	for name, s := range forms {
		out[name] = s
	}
	return out
}

// without drops what every form repeats.
func without(s map[string]any) map[string]any {
	out := maps.Clone(s)
	if out["image"] == "x" {
		delete(out, "image")
	}
	return out
}

func writeYAML(t *testing.T, path string, v any) string {
	t.Helper()
	data, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// envFilesOf puts the env and label files of the forms beside the project.
func envFilesOf(t *testing.T, dir string) {
	t.Helper()
	_, self, _, _ := runtime.Caller(0)
	if err := os.CopyFS(filepath.Join(dir, "env"), os.DirFS(filepath.Join(filepath.Dir(self), "testdata/compat/env"))); err != nil {
		t.Fatal(err)
	}
}
