package build

import (
	"encoding/json"
	"errors"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"devstack/engine/build/source"
	"devstack/engine/image"
)

// TestReference builds testdata/reference: what Dockerfiles can say, each
// thing once, by steps that are really carried out. A file has
//
//	request.json          fields of example
//	want/PATH             what the image has at PATH
//	want-absent           paths that the image has not
//	want-not-in-history   texts that its history has not
//	config.json           fields of its configuration
//	steps                 the steps that were carried out, sorted
//	warnings              what was warned of, sorted
//
// and everything else is the context. BASE is an image with busybox.
func TestReference(t *testing.T) {
	files, err := filepath.Glob("testdata/reference/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	s := newShop(t).busybox(image.Config{})
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			e := readExample(t, ar)
			o := s.try(t.Context(), e.request(t, s))
			if o.err != nil {
				var step *StepError
				if errors.As(o.err, &step) {
					t.Logf("%s", step.Log)
				}
				t.Fatal(o.err)
			}
			o.TB = t
			e.check(o)
		})
	}
}

// example is one file of testdata/reference. Its fields are those of a
// Request, or short for them.
type example struct {
	Dockerfile, Inline, Target string
	Args, Labels, Secrets      map[string]string
	Platforms, Entitlements    []string
	Contexts                   map[string]string // directories
	ExtraHosts                 map[string][]string
	ShmSize                    int64

	context map[string]string
	want    map[string]string
	lists   map[string][]string // steps, warnings, want-...
	config  map[string]any
}

func readExample(t *testing.T, ar *txtar.Archive) *example {
	e := &example{context: map[string]string{}, want: map[string]string{}, lists: map[string][]string{}}
	for _, f := range ar.Files {
		var err error
		switch name, isWant := strings.CutPrefix(f.Name, "want/"); {
		case isWant:
			e.want[name] = string(f.Data)
		case f.Name == "request.json":
			err = json.Unmarshal(f.Data, e)
		case f.Name == "config.json":
			err = json.Unmarshal(f.Data, &e.config)
		case slices.Contains([]string{"steps", "warnings", "want-absent", "want-not-in-history"}, f.Name):
			e.lists[f.Name] = strings.FieldsFunc(string(f.Data), func(r rune) bool { return r == '\n' })
		default:
			e.context[f.Name] = string(f.Data)
		}
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
	}
	return e
}

func (e *example) request(t *testing.T, s *shop) Request {
	dir := tree(t, e.context)
	r := Request{
		Context: source.Spec{Kind: source.KindDir, Path: dir}, Dockerfile: e.Dockerfile, Inline: e.Inline, Target: e.Target,
		Labels: e.Labels, Platforms: e.Platforms, Entitlements: e.Entitlements, ExtraHosts: e.ExtraHosts, ShmSize: e.ShmSize,
		Args: map[string]*string{"BASE": &s.base}, Contexts: map[string]source.Spec{},
	}
	for k, v := range e.Args {
		r.Args[k] = &v
	}
	for name, sub := range e.Contexts {
		r.Contexts[name] = source.Spec{Kind: source.KindDir, Path: filepath.Join(dir, sub)}
	}
	for id, value := range e.Secrets {
		r.Secrets = append(r.Secrets, Secret{ID: id, Value: []byte(value)})
	}
	return r
}

func (e *example) check(o *outcome) {
	for _, name := range slices.Sorted(maps.Keys(e.want)) {
		if got := o.file(name); got != e.want[name] {
			o.Errorf("/%s is\n%s\nwant\n%s", name, got, e.want[name])
		}
	}
	for _, name := range e.lists["want-absent"] {
		if o.has(name) {
			o.Errorf("the image has %s", name)
		}
	}
	file, config := o.configuration()
	for _, text := range e.lists["want-not-in-history"] {
		if strings.Contains(file, text) {
			o.Errorf("the configuration has %q", text)
		}
	}
	for name, want := range e.config {
		if !reflect.DeepEqual(config[name], want) {
			o.Errorf("%s is %v, want %v", name, config[name], want)
		}
	}
	if want, ok := e.lists["steps"]; ok && !slices.Equal(o.did(Started), want) {
		o.Errorf("steps %q, want %q", o.did(Started), want)
	}
	var warnings []string
	for _, ev := range o.events {
		if ev.State == Warning {
			warnings = append(warnings, string(ev.Line))
		}
	}
	slices.Sort(warnings)
	if want, ok := e.lists["warnings"]; ok && !slices.Equal(warnings, want) {
		o.Errorf("warnings\n%s\nwant\n%s", strings.Join(warnings, "\n"), strings.Join(want, "\n"))
	}
}

// configuration is the image's blob, and of it the part for running.
func (o *outcome) configuration() (string, map[string]any) {
	b, err := o.s.store.ReadBlob(o.img.ID)
	if err != nil {
		o.Fatal(err)
	}
	var file struct{ Config map[string]any }
	if err := json.Unmarshal(b, &file); err != nil {
		o.Fatal(err)
	}
	return string(b), file.Config
}
