package source_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"devstack/engine/build/source"
	"devstack/engine/image/imagetest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := imagetest.TempDir(t)
	for name, content := range files {
		p := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			must(t, os.Symlink(target, p))
			continue
		}
		must(t, os.WriteFile(p, []byte(content), 0o644))
	}
	return dir
}

func open(t testing.TB, s source.Spec, o source.Options) *source.Tree {
	t.Helper()
	tr, err := source.Open(t.Context(), s, o)
	must(t, err)
	t.Cleanup(func() { must(t, tr.Close()) })
	return tr
}

// walk lists what a build sees.
func walk(t testing.TB, tr *source.Tree) string {
	t.Helper()
	var out []string
	var visit func(e *source.Entry)
	visit = func(e *source.Entry) {
		children, err := tr.Children(e)
		must(t, err)
		for _, c := range children {
			out = append(out, c.Path)
			if c.Type == source.TypeDir {
				visit(c)
			}
		}
	}
	visit(tr.Root())
	return strings.Join(out, " ")
}

func TestIgnoredFilesDoNotExist(t *testing.T) {
	dir := tree(t, map[string]string{
		".dockerignore": "*\n!src\nsrc/*.tmp\n!deep/**/keep\n!Dockerfile", "Dockerfile": "FROM x", "Dockerfile.dockerignore": "src\n.*\n**/*ignore", "build/Other": "FROM y",
		"build/Other.dockerignore": "!nothing\n*\n!src/a", "src/a": "1", "src/b.tmp": "2", "node_modules/x/y": "3", "deep/er/keep": "4", "deep/er/no": "5", "deep/none/no": "6",
	})
	spec := source.Spec{Kind: source.KindDir, Path: dir}
	for dockerfile, want := range map[string]string{
		"":                   "Dockerfile deep deep/er deep/er/keep src src/a",
		"missing":            "Dockerfile deep deep/er deep/er/keep src src/a",
		"Dockerfile":         "Dockerfile build build/Other deep deep/er deep/er/keep deep/er/no deep/none deep/none/no node_modules node_modules/x node_modules/x/y",
		"build/Other":        "src src/a",
		dir + "/build/Other": "src src/a",
	} {
		tr := open(t, spec, source.Options{Dockerfile: dockerfile})
		if got := walk(t, tr); got != want {
			t.Errorf("%q: %s, want %s", dockerfile, got, want)
		}
		if data, err := tr.ReadFile("Dockerfile", 100); err != nil || string(data) != "FROM x" {
			t.Errorf("Dockerfile: %q %v", data, err)
		}
	}
	if _, err := open(t, spec, source.Options{}).ReadFile("none", 100); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	must(t, os.WriteFile(dir+"/.dockerignore", []byte("ok\n[\n"), 0o644))
	if _, err := source.Open(t.Context(), spec, source.Options{}); err == nil || !strings.Contains(err.Error(), `.dockerignore:2: pattern "["`) {
		t.Error(err)
	}
}

func TestReadFileStaysInside(t *testing.T) {
	dir := tree(t, map[string]string{"l": "-> /etc/hostname", "up": "-> ../../../../../etc/hostname", "in": "-> /f", "f": "x", "big": "12345678901"})
	must(t, unix.Mkfifo(dir+"/pipe", 0o644))
	tr := open(t, source.Spec{Kind: source.KindDir, Path: dir}, source.Options{})
	for name, want := range map[string]string{"l": "no such file", "up": "no such file", "pipe": "is no regular file", "../../etc/hostname": "no such file", "big": "larger than 10", "": "no such file"} {
		if data, err := tr.ReadFile(name, 10); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	if data, err := tr.ReadFile("in", 10); err != nil || string(data) != "x" {
		t.Error(err)
	}
}

func TestCacheAnswersForStats(t *testing.T) {
	dir := tree(t, map[string]string{"a": "1", "d/b": "2", "d/l": "-> b"})
	old := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(dir+"/a", old, old))
	file := filepath.Join(t.TempDir(), "cache", "stats")
	digest := func(c *source.Cache) string {
		tr := open(t, source.Spec{Kind: source.KindDir, Path: dir}, source.Options{Cache: c})
		e, err := tr.Resolve("a")
		must(t, err)
		must(t, tr.Hash(t.Context(), []*source.Entry{e}))
		return fmt.Sprintf("%x", e.Digest())
	}
	c, err := source.OpenCache(file)
	must(t, err)
	first := digest(c)
	must(t, os.WriteFile(dir+"/a", []byte("2"), 0o644)) // same size
	must(t, os.Chtimes(dir+"/a", old, old))             // same time: only ctime tells
	if digest(c) == first {
		t.Error("a change that hides its time is not noticed")
	}
	must(t, c.Save())
	again, err := source.OpenCache(file)
	must(t, err)
	if digest(again) == first {
		t.Error("the saved cache is wrong")
	}
	data, err := os.ReadFile(file)
	if err == nil && len(data) > 0 {
		data[len(data)/2] ^= 1
		must(t, os.WriteFile(file, data, 0o600))
		_, err = source.OpenCache(file)
		must(t, err)
	}
}

func TestContextsThatAreArchives(t *testing.T) {
	data := imagetest.Files(t, map[string]string{"Dockerfile": "FROM scratch", "a": "1", "skip": "x", ".dockerignore": "skip\n"})
	file := filepath.Join(tree(t, nil), "c.tar")
	must(t, os.WriteFile(file, data, 0o644))
	work := tree(t, nil)
	for _, spec := range []source.Spec{{Kind: source.KindTar, Path: file}, {Kind: source.KindStdin, Path: file}} {
		tr, err := source.Open(t.Context(), spec, source.Options{Dir: work})
		must(t, err)
		if got := walk(t, tr); got != ".dockerignore Dockerfile a" {
			t.Errorf("%s: %s", spec, got)
		}
		must(t, tr.Close())
	}
	stdin := source.Spec{Kind: source.KindStdin, Path: filepath.Join(filepath.Dir(file), "stdin")}
	must(t, os.WriteFile(stdin.Path, []byte("FROM scratch\n"), 0o644))
	tr := open(t, stdin, source.Options{Dir: work})
	if got := walk(t, tr); got != "Dockerfile" {
		t.Error(got)
	}
	for text, want := range map[string]string{"": "it is empty", "\x1f\x8bbroken": "gzip"} {
		must(t, os.WriteFile(stdin.Path, []byte(text), 0o644))
		if _, err := source.Open(t.Context(), stdin, source.Options{Dir: work}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	must(t, os.WriteFile(file, []byte("text"), 0o644))
	if _, err := source.Open(t.Context(), source.Spec{Kind: source.KindTar, Path: file}, source.Options{Dir: work}); err == nil || !strings.Contains(err.Error(), "is not a tar archive") {
		t.Error(err)
	}
	if left, _ := os.ReadDir(work); len(left) != 1 { // the one that is open
		t.Errorf("left %v", left)
	}
}

func TestParse(t *testing.T) {
	dir := tree(t, map[string]string{"sub/x": "1", "c.tar": "t"})
	for in, want := range map[string]source.Spec{
		"-": {Kind: source.KindStdin}, "sub": {Kind: source.KindDir, Path: dir + "/sub"}, "./c.tar": {Kind: source.KindTar, Path: dir + "/c.tar"},
		"docker-image://alpine:3": {Kind: source.KindImage, Ref: "alpine:3"}, "service:web": {Kind: source.KindService, Ref: "web"}, "target:base": {Kind: source.KindStage, Ref: "base"},
		"https://h/a.tar.gz":                    {Kind: source.KindURL, URL: "https://h/a.tar.gz"},
		"https://h/r.git#v1:docs":               {Kind: source.KindGit, URL: "https://h/r.git", Ref: "v1", Subdir: "docs"},
		"https://h/r.git#:../docs":              {Kind: source.KindGit, URL: "https://h/r.git", Subdir: "docs"},
		"git@h:u/r.git#main":                    {Kind: source.KindGit, URL: "git@h:u/r.git", Ref: "main"},
		"ssh://u@h:22/r#x":                      {Kind: source.KindGit, URL: "ssh://u@h:22/r", Ref: "x"},
		"git://h/r":                             {Kind: source.KindGit, URL: "git://h/r"},
		"github.com/u/r#x":                      {Kind: source.KindGit, URL: "https://github.com/u/r", Ref: "x"},
		"https://h/r.git?tag=v1&keep-git-dir=1": {Kind: source.KindGit, URL: "https://h/r.git", Ref: "refs/tags/v1", KeepGitDir: true},
		"https://h/r.git?branch=m&subdir=a&checksum=ab&submodules=false": {Kind: source.KindGit, URL: "https://h/r.git", Ref: "refs/heads/m", Subdir: "a", Checksum: "ab", SkipSubmodules: true},
	} {
		if got, err := source.Parse(in, dir); err != nil || got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for in, want := range map[string]string{
		"": "is empty", "none": "no such file", "ext::sh -c x": "no such file", "file:///etc": `the scheme "file" is not known`, "ftp://h/x": `"ftp"`,
		"https://h/r.git#--upload-pack=x": "is no name of a branch", "ssh://-oProxyCommand=x/r": "no usable host", "git@h:-x": "begins with", "https://h/r.git?foo=1": `"foo" is not known`,
		"https://h/r.git?ref=a#b": "given twice", "https://h/r.git?tag=": "has no value", "https:///x": "has no host", "service:": "names nothing",
	} {
		if got, err := source.Parse(in, dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want %s", in, got, err, want)
		}
	}
}

// git runs git as somebody without configuration.
func git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=T", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_DATE=1500000000 +0000", "GIT_COMMITTER_DATE=1500000000 +0000", "HOME="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestGit(t *testing.T) {
	repos := tree(t, map[string]string{"r/f": "1", "r/docs/a.md": "a", "r/tool": "#!", "r/evil": "-> /etc/hostname"})
	must(t, os.Chmod(repos+"/r/tool", 0o755))
	git(t, repos+"/r", "init", "-q", "-b", "main")
	git(t, repos+"/r", "add", ".")
	git(t, repos+"/r", "commit", "-q", "-m", "one")
	one := git(t, repos+"/r", "rev-parse", "HEAD")
	git(t, repos+"/r", "tag", "-a", "-m", "tag", "v1")
	must(t, os.WriteFile(repos+"/r/f", []byte("2"), 0o644))
	git(t, repos+"/r", "commit", "-q", "-a", "-m", "two")
	two := git(t, repos+"/r", "rev-parse", "HEAD")
	git(t, repos, "clone", "-q", "--bare", "r", "r.git")

	execPath := git(t, repos, "--exec-path")
	var asked atomic.Int32
	server := httptest.NewServer(&countingCGI{&asked, &cgi.Handler{Path: filepath.Join(execPath, "git-http-backend"), Env: []string{"GIT_PROJECT_ROOT=" + repos, "GIT_HTTP_EXPORT_ALL=1"}}})
	defer server.Close()
	o := source.Options{Dir: tree(t, nil)}
	url := server.URL + "/r.git"
	get := func(ref string) (*source.Tree, error) {
		spec, err := source.Parse(ref, "/")
		must(t, err)
		return source.Open(context.Background(), spec, o)
	}
	for ref, want := range map[string][2]string{
		"": {two, "2"}, "#main": {two, "2"}, "#v1": {one, "1"}, "#" + one: {one, "1"}, "?checksum=" + two[:8]: {two, "2"}, "?tag=v1": {one, "1"}, "#refs/heads/main": {two, "2"},
	} {
		tr, err := get(url + ref)
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		data, err := tr.ReadFile("f", 10)
		commit, when := tr.Revision()
		if err != nil || string(data) != want[1] || commit != want[0] || when.Unix() != 1_500_000_000 {
			t.Errorf("%s: %q at %s of %v, %v", ref, data, commit, when, err)
		}
		if got := walk(t, tr); got != "docs docs/a.md evil f tool" {
			t.Errorf("%s holds %s", ref, got)
		}
		for name, mode := range map[string]uint32{"f": 0o644, "tool": 0o755, "docs": 0o755} {
			if e, err := tr.Resolve(name); err != nil || e.Mode != mode {
				t.Errorf("%s: %v", name, err)
			}
		}
		must(t, tr.Close())
	}
	asked.Store(0)
	tr, err := get(url + "#main:docs")
	must(t, err)
	if got := walk(t, tr); got != "a.md" {
		t.Error(got)
	}
	must(t, tr.Close())
	if asked.Load() > 2 {
		t.Errorf("%d requests for a commit that is here", asked.Load())
	}
	tr, err = get(url + "?keep-git-dir=true")
	must(t, err)
	if _, err := tr.Resolve(".git/HEAD"); err != nil {
		t.Error(err)
	}
	must(t, tr.Close())
	for ref, want := range map[string]string{
		url + "#none": `has no branch or tag "none"`, url + "?checksum=0000": "it is at commit " + two, url + "#main:nodir": `has no directory "nodir"`,
		server.URL + "/none.git": "not found", url + "#main:evil": "no directory", url + "#" + strings.Repeat("0", 40): "is not in the repository",
	} {
		if _, err := get(ref); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", ref, err, want)
		}
	}
	if left, _ := filepath.Glob(o.Dir + "/tmp-*"); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

type countingCGI struct {
	n *atomic.Int32
	h http.Handler
}

func (c *countingCGI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.n.Add(1)
	c.h.ServeHTTP(w, r)
}
