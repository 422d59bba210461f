package load

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// TestBrokenProjects loads projects of several files of which one is broken:
// the faults are placed in the file that has them.
func TestBrokenProjects(t *testing.T) {
	archives, err := filepath.Glob("testdata/broken-multi/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal(err)
	}
	for _, archive := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(archive), ".txtar"), func(t *testing.T) {
			dir, args := unpack(t, archive)
			_, warnings, err := Load(context.Background(), Options{WorkingDir: dir, Files: args["files"], Environ: hostEnv()})
			var got bytes.Buffer
			var faults *Error
			switch {
			case err == nil:
				t.Error("the project loads")
			case errors.As(err, &faults):
				Render(&got, faults.Diagnostics, false)
			default:
				got.WriteString("error: " + err.Error() + "\n")
			}
			Render(&got, warnings, false)
			golden(t, strings.TrimSuffix(archive, ".txtar")+".golden", got.Bytes())
		})
	}
}

// TestIncludesThatConflict holds that two includes with different services of
// one name are told, and a file that completes what it includes is not.
func TestIncludesThatConflict(t *testing.T) {
	_, warnings := mustLoad(t, Options{WorkingDir: write(t, map[string]string{
		"compose.yaml": "include: [a.yaml, b.yaml]\nservices: {mine: {image: over}}\n",
		"a.yaml":       "services: {web: {image: a}, same: {image: s}, mine: {image: a}}\n",
		"b.yaml":       "services: {web: {image: b}, same: {image: s}}\n",
	})})
	var got bytes.Buffer
	Render(&got, warnings, false)
	want := `b.yaml:1:12: warning: services.web is declared by two included files, which are merged
 1 | services: {web: {image: b}, same: {image: s}}
   |            ^^^
   hint: the other one is at a.yaml:1:17
`
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Error(d)
	}
}

// TestMergedPlaces checks that each value of a merged project is placed where
// it was set.
func TestMergedPlaces(t *testing.T) {
	a := txtar.Parse([]byte(`
-- compose.yaml --
services:
  web:
    image: one
    environment:
      A: "1"
      B: "2"
    ports: ["80:80"]
    extends: {file: base.yaml, service: base}
-- compose.override.yaml --
services:
  web:
    environment: [B=3]
    ports:
      - 81:81
    depends_on: [db]
  db: {image: pg}
-- base.yaml --
services:
  base:
    user: root
    labels: {x: y}
`))
	files := map[string]string{}
	for _, f := range a.Files {
		files[f.Name] = string(f.Data)
	}
	p, _ := mustLoad(t, Options{WorkingDir: write(t, files)})
	for path, want := range map[string]string{
		"services.web":                         "compose.yaml:2:3",
		"services.web.image":                   "compose.yaml:3:12",
		"services.web.environment.A":           "compose.yaml:5:10",
		"services.web.environment.B":           "compose.override.yaml:3:19",
		"services.web.ports.0":                 "compose.yaml:7:13",
		"services.web.ports.1":                 "compose.override.yaml:5:9",
		"services.web.ports.1.target":          "compose.override.yaml:5:9",
		"services.web.user":                    "base.yaml:3:11",
		"services.web.labels.x":                "base.yaml:4:17",
		"services.web.depends_on.db":           "compose.override.yaml:6:18",
		"services.web.depends_on.db.condition": "compose.override.yaml:6:18",
		"services.db":                          "compose.override.yaml:7:3",
	} {
		if got := p.Pos(path).String(); got != want {
			t.Errorf("%s is at %s, want %s", path, got, want)
		}
	}
}
