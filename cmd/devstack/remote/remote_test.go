package remote

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gopkg.in/yaml.v3"
)

func TestReferences(t *testing.T) {
	c := &Cache{}
	for ref, want := range map[string]bool{
		"oci://registry.example/team/app:1":        true,
		"https://git.example/team/app.git":         true,
		"https://git.example/team/app.git#v1:a/b":  true,
		"https://git.example/team/app":             false, // might be anything
		"git@git.example:team/app.git":             true,
		"ssh://git@git.example/team/app":           true,
		"git://git.example/app":                    true,
		"github.com/team/app":                      true,
		"github.com/team/app#main:deploy":          true,
		"file:///srv/app.git":                      true,
		"file:///srv/app":                          false,
		"compose.yaml":                             false,
		"../app.git":                               false,
		"/srv/app.git":                             false,
		`C:\projects\app.git`:                      false,
		"a:b":                                      false,
		"-":                                        false,
		"./git@git.example:team/app.git":           false,
		"https://registry.example/compose.yaml":    false,
		"https://me:secret@git.example/app.git#v1": true,
	} {
		if got := c.Takes(ref); got != want {
			t.Errorf("Takes(%q) = %v", ref, got)
		}
	}
	for ref, want := range map[string]string{
		"https://git.example/team/app.git#v1:deploy/prod":  "prod",
		"https://git.example/team/app.git#v1:x/other.yaml": "x",
		"git@git.example:app.git":                          "app",
		"github.com/team/app":                              "app",
	} {
		spec, err := gitSpec(ref)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&repository{spec: spec}).name(); got != want {
			t.Errorf("name of %s: %q", ref, got)
		}
	}
}

func TestArtifactRoundTrip(t *testing.T) {
	files := []File{
		{Name: "compose.yaml", Content: []byte("a: 1\n")},
		{Name: "over.yaml", Content: []byte("b: 2\n")},
		{Name: "x.yaml", Content: []byte("services: {}\n"), Extends: true},
		{Name: "x.env", Content: []byte("A=1\n"), Env: true},
	}
	for _, oci := range []OCIVersion{OCI10, OCI11} {
		data, err := manifest(files, oci, "1", time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		m, err := parseManifest(data)
		if err != nil {
			t.Fatal(err)
		}
		var contents [][]byte
		for i, l := range m.Layers {
			if l.Digest != digest.FromBytes(files[i].Content) {
				t.Errorf("layer %d has digest %s", i, l.Digest)
			}
			contents = append(contents, files[i].Content)
		}
		dir := t.TempDir()
		if err := unpack(dir, m, contents); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"compose.yaml": "a: 1\n\n---\nb: 2\n", "x.yaml": "services: {}\n", "x.env": "A=1\n"} {
			if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
	}
}

// What an artifact says of itself is not believed.
func TestHostileArtifacts(t *testing.T) {
	for _, name := range []string{"../x", "/etc/x", "a/b", `a\b`, "c:x", "..", "", "compose.yaml"} {
		dir := filepath.Join(t.TempDir(), "in")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		m := ocispec.Manifest{Layers: []ocispec.Descriptor{
			{MediaType: fileType, Annotations: map[string]string{fileNote: "compose.yaml"}},
			{MediaType: envFileType, Annotations: map[string]string{envFileNote: name}},
		}}
		if name == "" {
			m.Layers[1].Digest = "sha256:x" // stands for a name that is not given
		}
		if err := unpack(dir, m, [][]byte{[]byte("a: 1"), []byte("evil")}); err == nil || !strings.Contains(err.Error(), "not allowed") {
			t.Errorf("a file with the name %q: %v", name, err)
		}
		if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) != 1 {
			t.Errorf("%q: %v, %v", name, left, err)
		}
	}
	for text, want := range map[string]string{
		`{"config":{"mediaType":"application/vnd.oci.image.config.v1+json"}}`:                                                            "but an image",
		`{"artifactType":"application/x"}`:                                                                                               "but application/x",
		`{"artifactType":"application/vnd.docker.compose.project","layers":[{"size":99999999999}]}`:                                      "more than 32 MiB",
		`{"artifactType":"application/vnd.docker.compose.project","layers":[{"size":-1,"annotations":{"com.docker.compose.file":"a"}}]}`: "the file a has -1 bytes",
		`{"artifactType":"application/vnd.docker.compose.project","layers":[` + strings.Repeat(`{"size":33554432},`, 4) + `{"size":1}]}`: "more than 128 MiB together",
		`[]`: "parse manifest",
	} {
		if _, err := parseManifest([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := unpack(t.TempDir(), ocispec.Manifest{}, nil); err == nil {
		t.Error("an artifact without a project file is unpacked")
	}
}

func TestReplace(t *testing.T) {
	const before = "a: &x  plain # why\nb: 'it''s'\nc: \"q\\\"q\"  \nd: *x\né: ü/ö\n"
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(before), &doc); err != nil {
		t.Fatal(err)
	}
	var edits []edit
	for _, key := range []string{"a", "b", "c", "é"} {
		edits = append(edits, edit{value(doc.Content[0], key), "NEW" + key})
	}
	edits[0].node = items(value(doc.Content[0], "d"))[0] // the same, through its alias
	got, err := replace([]byte(before), append(edits, edits[0]))
	if want := "a: &x  NEWa # why\nb: NEWb\nc: NEWc  \nd: *x\né: NEWé\n"; err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
	var folded yaml.Node
	const lines = "a: one\n  two\n"
	if err := yaml.Unmarshal([]byte(lines), &folded); err != nil {
		t.Fatal(err)
	}
	if got, err := replace([]byte(lines), []edit{{value(folded.Content[0], "a"), "x"}}); err == nil {
		t.Errorf("a path on two lines became %q", got)
	}
}

func TestSecrets(t *testing.T) {
	const text = "a: AKIAABCDEFGHIJKLMNOP\nb: https://me:pw@host/\nc: https://${U}:${P}@host/\nd: -----BEGIN RSA PRIVATE KEY-----\n"
	var lines []int
	for _, d := range secretsIn("f", []byte(text)) {
		lines = append(lines, d.Pos.Line)
		if b, err := json.Marshal(d); err != nil || strings.Contains(string(b), "AKIA") {
			t.Errorf("%s, %v: the secret is told", b, err)
		}
	}
	if len(lines) != 3 || lines[0] != 1 || lines[1] != 4 || lines[2] != 2 {
		t.Errorf("found in lines %v", lines)
	}
}
