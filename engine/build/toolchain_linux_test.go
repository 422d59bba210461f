package build

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestGoProgramInThreeStages builds a program with this machine's own Go, from
// two clones that differ in everything git does not keep, on two stores.
func TestGoProgramInThreeStages(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles Go's runtime twice")
	}
	if _, err := os.Stat("/usr/local/go/bin/go"); err != nil {
		t.Skip("needs Go in /usr/local/go")
	}
	files := map[string]string{
		"go.mod": "module hello\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() { println(\"hello\", text) }\n",
		"text.go": "package main\n\nconst text = \"world\"\n", "README": "not of the program",
		"Dockerfile": `FROM rootfs:/ AS go
ENV PATH=/usr/local/go/bin:/usr/bin:/bin GOFLAGS=-trimpath CGO_ENABLED=0 GOTOOLCHAIN=local GOCACHE=/tmp/cache
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
	}
	var digests []string
	for i := range 2 {
		s := newShop(t)
		umask := syscall.Umask([]int{0o022, 0o077}[i])
		r := s.request(files)
		syscall.Umask(umask)
		old := time.Now().Add(time.Duration(-i) * 1000 * time.Hour)
		os.Chtimes(filepath.Join(r.Context.Path, "main.go"), old, old)
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
