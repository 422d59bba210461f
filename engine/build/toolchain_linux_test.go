package build

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"devstack/engine/build/source"
)

// TestGoProgramInThreeStages builds a program with this machine's own Go, from
// two clones that differ in everything git does not keep, on two stores.
func TestGoProgramInThreeStages(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles Go's runtime twice")
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	goroot := strings.TrimSpace(string(root))
	origin := tree(t, map[string]string{
		"go.mod": "module hello\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() { println(\"hello\", text) }\n",
		"text.go": "package main\n\nconst text = \"world\"\n", "README": "not of the program",
		"Dockerfile": `FROM rootfs:/ AS go
ENV PATH=` + goroot + `/bin:/usr/bin:/bin GOFLAGS=-trimpath CGO_ENABLED=0 GOTOOLCHAIN=local GOCACHE=/tmp/cache
FROM go AS build
WORKDIR /src
COPY go.mod ./
RUN go mod verify
COPY *.go ./
RUN --mount=type=cache,target=/tmp/cache go build -ldflags=-buildid= -o /hello .
FROM scratch
COPY --from=build /hello /
CMD ["/hello"]
`,
	})
	git(t, origin, "init", "-q")
	git(t, origin, "add", ".")
	git(t, origin, "-c", "user.name=n", "-c", "user.email=e", "commit", "-q", "-m", "m")
	var digests []string
	for i := range 2 {
		s := newShop(t)
		clone := filepath.Join(t.TempDir(), strings.Repeat("deep/", i), "clone")
		umask := syscall.Umask([]int{0o022, 0o077}[i])
		git(t, origin, "clone", "-q", origin, clone)
		syscall.Umask(umask)
		old := time.Now().Add(time.Duration(-i) * 1000 * time.Hour)
		os.Chtimes(filepath.Join(clone, "main.go"), old, old)
		r := Request{Context: source.Spec{Kind: source.KindDir, Path: clone}}
		o := s.build(r)
		digests = append(digests, string(o.img.Digest))
		if i == 0 {
			s.checkRebuild(r, o)
		}
		out, err := exec.Command(o.path("/hello")).CombinedOutput()
		if err != nil && !os.IsPermission(err) || err == nil && string(out) != "hello world\n" {
			t.Errorf("%q %v", out, err)
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("digests differ: %q", digests)
	}
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %q: %v: %s", args, err, out)
	}
}

// checkRebuild changes files and looks at what runs.
func (s *shop) checkRebuild(r Request, first *outcome) {
	s.Helper()
	write(s, r.Context.Path, map[string]string{"README": "changed"})
	if o := s.build(r); len(o.did(Started)) != 0 || o.img.Digest != first.img.Digest {
		s.Errorf("a file that no step takes: %q", o.did(Started))
	}
	write(s, r.Context.Path, map[string]string{"text.go": "package main\n\nconst text = \"all\"\n"})
	o := s.build(r)
	want := []string{"COPY *.go ./", "COPY --from=build /hello /", "RUN --mount=type=cache,target=/tmp/cache go build -ldflags=-buildid= -o /hello ."}
	if got := o.did(Started); !slices.Equal(got, want) || o.img.Digest == first.img.Digest {
		s.Errorf("one file: %q", got)
	}
}
