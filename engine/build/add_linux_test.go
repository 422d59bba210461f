package build

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"devstack/engine/build/source"
	"devstack/engine/image"
	"devstack/engine/image/imagetest"
)

func TestAdd(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	archive := imagetest.Files(t, map[string]string{"in/side": "packed"})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(archive) }))
	defer web.Close()
	sum := fmt.Sprintf("sha256:%x", sha256.Sum256(archive))
	r := s.request(map[string]string{
		"local.tar": string(archive),
		"Dockerfile": `FROM scratch
ARG URL
ARG SUM
ADD local.tar /unpacked/
ADD --unpack=false local.tar /whole/
ADD --checksum=${SUM} ${URL}/x.tar /web/
ADD --unpack=true ${URL}/x.tar /webunpacked/
COPY local.tar /copied/
`,
	})
	r.Args["URL"], r.Args["SUM"] = &web.URL, &sum
	o := s.build(r)
	for _, name := range []string{"/unpacked/in/side", "/webunpacked/in/side"} {
		if got := o.file(name); got != "packed" {
			t.Errorf("%s is %q", name, got)
		}
	}
	for _, name := range []string{"/whole/local.tar", "/web/x.tar", "/copied/local.tar"} {
		if got := o.file(name); got != string(archive) {
			t.Errorf("%s has %d bytes", name, len(got))
		}
	}
	r.Args["SUM"] = ptr("sha256:" + strings.Repeat("0", 64))
	if bad := s.try(t.Context(), r); bad.err == nil || !strings.Contains(bad.err.Error(), "Dockerfile:6: ADD") || !strings.Contains(bad.err.Error(), "its checksum is sha256:") {
		t.Errorf("a wrong checksum: %v", bad.err)
	}
}

// TestAddFromShakyServer: a server that is busy is asked again; one that is not
// there is named.
func TestAddFromShakyServer(t *testing.T) {
	s := newShop(t)
	var asked atomic.Int32
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.Write([]byte("content"))
	}))
	r := s.inline("FROM scratch\nADD ${BASE}/file /\n")
	r.Inline = strings.Replace(r.Inline, "ADD", "ARG BASE\nADD", 1)
	r.Args["BASE"] = &web.URL
	if o := s.build(r); o.file("/file") != "content" || asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}
	web.Close()
	gone := s.try(t.Context(), r)
	if gone.err == nil || !strings.Contains(gone.err.Error(), "Dockerfile (inline):4: ADD") || !strings.Contains(gone.err.Error(), "connection refused") {
		t.Error(gone.err)
	}
}

// TestGitContext: the commit gives the times and is named by the image.
func TestGitContext(t *testing.T) {
	bin, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Skip("needs git")
	}
	s := newShop(t)
	dir := tree(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY f /\n", "f": "x"})
	for _, args := range [][]string{
		{"init", "-q"},
		{"add", "."},
		{"-c", "user.name=n", "-c", "user.email=e", "commit", "-q", "--date=2020-01-02T03:04:05Z", "-m", "m"},
	} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = append(cmd.Environ(), "GIT_COMMITTER_DATE=2020-01-02T03:04:05Z")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v: %s", args, err, out)
		}
	}
	web := httptest.NewServer(&cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(bin)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1"},
	})
	defer web.Close()
	o := s.build(Request{Context: source.Spec{Kind: source.KindGit, URL: web.URL + "/.git"}})
	if got := o.img.Created.UTC().Format("2006-01-02 15:04:05"); got != "2020-01-02 03:04:05" || o.file("f") != "x" {
		t.Errorf("created %s", got)
	}
}

func TestForeignPlatform(t *testing.T) {
	s := newShop(t)
	other := "linux/s390x"
	if runtime.GOARCH == "s390x" {
		other = "linux/amd64"
	}
	o := s.build(s.inline("FROM scratch\nARG TARGETARCH\nCOPY <<x /arch\n${TARGETARCH}\nx\n", func(r *Request) { r.Platforms = []string{other} }))
	if o.img.Platform != other || o.file("arch") != strings.TrimPrefix(other, "linux/")+"\n" {
		t.Errorf("%s %q", o.img.Platform, o.file("arch"))
	}
	bad := s.try(t.Context(), s.inline("FROM scratch\nRUN [\"/x\"]\n", func(r *Request) { r.Platforms = []string{other} }))
	if bad.err == nil || !strings.Contains(bad.err.Error(), "binfmt") {
		t.Error(bad.err)
	}
}

func TestSeveralPlatforms(t *testing.T) {
	s := newShop(t)
	o := s.build(s.inline("FROM scratch\nCOPY <<x /f\nx\nENV a b\n", func(r *Request) {
		r.Platforms, r.Tags = []string{"linux/arm64", "linux/amd64"}, []string{"shop/many:1"}
	}))
	var stages []string
	for _, e := range o.events {
		if e.State != Started {
			stages = append(stages, e.State+" "+e.Stage)
		}
	}
	want := []string{"warning linux/arm64", "done linux/arm64", "done linux/amd64"}
	if !slices.Equal(stages, want) {
		t.Errorf("%q, want %q", stages, want)
	}
	if o.img.Ref != "docker.io/shop/many:1" || o.img.Platform != image.FormatPlatform(image.HostPlatform()) {
		t.Errorf("%+v", o.img)
	}
}

func TestCheckAndReferences(t *testing.T) {
	s := newShop(t)
	r := s.inline("FROM example.com/a:1 AS x\nCOPY --from=example.com/b:2 f /\nFROM example.com/unneeded\nFROM x\nENV a b\n")
	refs, err := s.References(t.Context(), r)
	want := []ImageUse{{Ref: "example.com/a:1", What: "FROM", Line: 2}, {Ref: "example.com/b:2", What: "COPY", Line: 3}}
	if err != nil || !slices.Equal(refs, want) {
		t.Errorf("%v %v", refs, err)
	}
	found, err := s.Check(t.Context(), r)
	if err != nil || len(found) != 1 || found[0].Rule != "LegacyKeyValueFormat" || found[0].Lines.First != 6 {
		t.Errorf("%+v %v", found, err)
	}
}
