package lock_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"devstack/compose"
	"devstack/compose/lock"
)

// canon is a small grammar of references: names get a registry and a tag.
func canon(ref string) (string, bool, error) {
	switch {
	case ref == "" || strings.Contains(ref, " "):
		return "", false, fmt.Errorf("image reference %q is not valid", ref)
	case strings.HasPrefix(ref, "rootfs:") || strings.Contains(ref, "@"):
		return ref, false, nil
	}
	if !strings.Contains(ref, "/") {
		ref = "docker.io/library/" + ref
	}
	if !strings.Contains(ref[strings.LastIndexByte(ref, '/'):], ":") {
		ref += ":latest"
	}
	return ref, true, nil
}

func dig(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func sample() *lock.File {
	f := lock.New()
	f.Images["docker.io/library/nginx:1"] = lock.Image{Digest: dig("a"), Platforms: map[string]string{"linux/amd64": dig("1"), "linux/arm64": dig("2")}}
	f.Images["127.0.0.1:5000/team/app:2"] = lock.Image{Digest: dig("b"), Platforms: map[string]string{"linux/amd64": dig("b")}}
	f.Images["ghcr.io/o/x:latest"] = lock.Image{Digest: dig("c")}
	return f
}

const sampleText = `# Written by devstack lock: the digests that the images of this project stand
# for. Keep it under version control; change it with devstack lock --update.
version: 1
images:
  "127.0.0.1:5000/team/app:2":
    digest: sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    platforms:
      linux/amd64: sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
  docker.io/library/nginx:1:
    digest: sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    platforms:
      linux/amd64: sha256:1111111111111111111111111111111111111111111111111111111111111111
      linux/arm64: sha256:2222222222222222222222222222222222222222222222222222222222222222
  ghcr.io/o/x:latest:
    digest: sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc
`

func TestMarshal(t *testing.T) {
	if d := cmp.Diff(sampleText, string(sample().Marshal())); d != "" {
		t.Error(d)
	}
	for name, f := range map[string]*lock.File{"sample": sample(), "empty": lock.New()} {
		back, err := lock.Parse(f.Marshal(), "x")
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(f.Images, back.Images); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), lock.Name)
	if _, err := lock.ReadFile(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
	for range 2 {
		if err := sample().WriteFile(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	f, err := lock.ReadFile(path)
	if err != nil || len(lock.Diff(f, sample())) != 0 {
		t.Errorf("%v, %v", lock.Diff(f, sample()), err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode() != 0o640 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

// TestFilesThatAreNone: a link stays and what it leads to is written; a pipe is
// refused, for to read one would wait for ever.
func TestFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	path, real := filepath.Join(dir, lock.Name), filepath.Join(t.TempDir(), "shared.lock")
	if err := os.WriteFile(real, sample().Marshal(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, path); err != nil {
		t.Fatal(err)
	}
	empty := &lock.File{}
	if err := empty.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(path); err != nil || to != real {
		t.Errorf("the link is now %q, %v", to, err)
	}
	if b, err := os.ReadFile(real); err != nil || !bytes.Equal(b, empty.Marshal()) {
		t.Errorf("it leads to %q, %v", b, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for kind, create := range map[string]func() error{
		"directory": func() error { return os.Mkdir(path, 0o700) },
		"pipe":      func() error { return exec.Command("mkfifo", path).Run() },
	} {
		if err := create(); err != nil {
			t.Fatal(err)
		}
		if _, err := lock.ReadFile(path); err == nil || !strings.Contains(err.Error(), "no regular file") {
			t.Errorf("%s: error is %v", kind, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestParseFaults(t *testing.T) {
	image := "version: 1\nimages:\n  a/b:1:\n"
	for text, want := range map[string]string{
		"":                            "x: it is empty",
		"- a":                         "x:1: the lock is not a mapping",
		"images: {}":                  "x:1: it has no version",
		"version: 2":                  `x:1: version "2" is not 1: it was written by another devstack`,
		"version: 1\nother: 2":        `x:2: "other" is not known`,
		"version: 1\nversion: 1":      `x:2: "version" is there twice`,
		"version: 1\nimages: []":      "x:2: images is not a mapping",
		image + "    digest: abc":     `x:4: "abc" is no digest (want sha256:<64 hex digits>)`,
		image + "    platforms: {}":   "x:3: a/b:1 has no digest",
		image + "    digest: [a]":     `x:4: "" is no digest (want sha256:<64 hex digits>)`,
		image + "    x: y\n    z: y":  "x:4: \"x\" is not known\nx:5: \"z\" is not known\nx:3: a/b:1 has no digest",
		"version: 1\n<<<<<<< HEAD\n":  "x:2: it has the marks of a merge conflict: take either side, then run devstack lock",
		"version: &a 1\nimages: *a\n": "x:2: images is not a mapping",
		"version: [":                  "x: it is not a lock: line 1: did not find expected node content",
	} {
		_, err := lock.Parse([]byte(text), "x")
		if err == nil || err.Error() != want {
			t.Errorf("%q:\n%v, want\n%s", text, err, want)
		}
	}
}

func TestDiff(t *testing.T) {
	next := sample()
	delete(next.Images, "ghcr.io/o/x:latest")
	next.Images["docker.io/library/nginx:1"] = lock.Image{Digest: dig("d"), Platforms: map[string]string{"linux/amd64": dig("1"), "linux/s390x": dig("3")}}
	next.Images["docker.io/library/redis:7"] = lock.Image{Digest: dig("e"), Platforms: map[string]string{"linux/amd64": dig("e")}}
	var got []string
	for _, c := range lock.Diff(sample(), next) {
		got = append(got, fmt.Sprintln(c.Kind, c.Ref, c.Platforms, c.Old.Digest != "", c.New.Digest != ""))
	}
	want := []string{
		"changed docker.io/library/nginx:1 [linux/arm64 linux/s390x] true true\n",
		"added docker.io/library/redis:7 [linux/amd64] false true\n",
		"removed ghcr.io/o/x:latest [] true false\n",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got := lock.Diff(nil, sample()); len(got) != 3 {
		t.Errorf("from nothing: %v", got)
	}
}

func project() *compose.Project {
	return &compose.Project{
		Services: map[string]compose.Service{
			"web": {Image: "nginx:1", Volumes: []compose.Mount{{Type: compose.MountImage, Source: "redis:7", Target: "/r"}, {Type: compose.MountBind, Source: "/x"}}},
			"api": {Image: "api", Platform: "linux/s390x", Build: &compose.Build{AdditionalContexts: map[string]string{"base": "docker-image://nginx:1", "src": "../src"}}},
			"fs":  {Image: "rootfs:/"},
			"pin": {Image: "nginx@" + dig("f")},
		},
		Disabled: map[string]compose.Service{"debug": {Image: "ghcr.io/o/x"}},
		Positions: compose.Positions{
			"services.web.image":     {File: "compose.yaml", Line: 3, Col: 5},
			"services.web.volumes.0": {File: "compose.yaml", Line: 5, Col: 5},
			"services.api.build":     {File: "compose.yaml", Line: 9, Col: 5},
			"services.debug.image":   {File: "compose.yaml", Line: 20, Col: 5},
		},
	}
}

func TestCheck(t *testing.T) {
	f, err := lock.Parse(sample().Marshal(), "devstack.lock")
	if err != nil {
		t.Fatal(err)
	}
	uses := append(lock.Uses(project()), lock.Use{Ref: "golang:1", What: "FROM", Service: "api", Pos: compose.Pos{File: "api/Dockerfile", Line: 1, Col: 6}})
	ds, err := lock.Check(f, uses, canon)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range ds {
		got = append(got, d.Message)
	}
	want := []string{
		"api/Dockerfile:1:6: service api, FROM: image golang:1 is not in devstack.lock",
		"compose.yaml:5:5: service web, volume: image redis:7 is not in devstack.lock",
		"compose.yaml:9:5: service api, additional context: image nginx:1 is not in devstack.lock for platform linux/s390x",
		"devstack.lock:5:1: no file of the project names image 127.0.0.1:5000/team/app:2 any more",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, err := lock.Check(f, []lock.Use{{Ref: "not valid", What: "FROM", Pos: compose.Pos{File: "D", Line: 2, Col: 1}}}, canon); err == nil || !strings.HasPrefix(err.Error(), "D:2:1: FROM: ") {
		t.Errorf("error is %v", err)
	}
	if ds, err := lock.Check(nil, uses, canon); err != nil || len(ds) != 5 {
		t.Errorf("without a lock: %v, %v", ds, err)
	}
}

func TestPlan(t *testing.T) {
	uses := lock.Uses(project())
	wants := func(update func(lock.Use) bool) string {
		t.Helper()
		w, kept, err := lock.Plan(sample(), uses, canon, update)
		if err != nil {
			t.Fatal(err)
		}
		var refs []string
		for _, w := range w {
			refs = append(refs, w.Ref)
			if _, ok := kept.Images[w.Ref]; ok {
				t.Errorf("%s is wanted and kept", w.Ref)
			}
		}
		if _, ok := kept.Images["127.0.0.1:5000/team/app:2"]; ok {
			t.Error("an image that nothing names is kept")
		}
		return strings.Join(refs, " ")
	}
	if got := wants(nil); got != "docker.io/library/nginx:1 docker.io/library/redis:7" {
		t.Errorf("missing: %s", got)
	}
	if got := wants(func(u lock.Use) bool { return u.Service == "debug" }); got != "docker.io/library/nginx:1 docker.io/library/redis:7 ghcr.io/o/x:latest" {
		t.Errorf("update of one service: %s", got)
	}
	w, kept, err := lock.Plan(nil, uses, canon, nil)
	if err != nil || len(w) != 3 || len(kept.Images) != 0 {
		t.Errorf("%v, %v, %v", w, kept, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sampleText)
	f.Add("version: 1\nimages: {}")
	f.Add("a: &a [*a]")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := lock.Parse([]byte(s), "x")
		if err != nil {
			return
		}
		again, err := lock.Parse(got.Marshal(), "x")
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, got.Marshal())
		}
		if d := lock.Diff(got, again); len(d) > 0 {
			t.Errorf("%v", d)
		}
	})
}
