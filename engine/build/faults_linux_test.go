package build

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"devstack/engine/build/source"
	"devstack/engine/image"
	"devstack/engine/image/imagetest"
)

// cutter breaks connections in the middle of blobs: the first few times, or
// always; or it stops there until it is let go on.
type cutter struct {
	next   http.Handler
	cuts   atomic.Int32
	hanged chan struct{} // not nil: hang there once, and say so
}

func (c *cutter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	blob := strings.Contains(r.URL.Path, "/blobs/sha256:") && r.Method == http.MethodGet
	if !blob || c.cuts.Add(-1) < 0 {
		c.next.ServeHTTP(w, r)
		return
	}
	if c.hanged != nil {
		c.hanged <- struct{}{}
		<-r.Context().Done()
		return
	}
	rec := httptest.NewRecorder()
	c.next.ServeHTTP(rec, r)
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
	w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
	panic(http.ErrAbortHandler)
}

// cutRegistry has an image with busybox behind a cutter.
func cutRegistry(t *testing.T) (ref string, c *cutter) {
	reg := imagetest.Serve(t, func(h http.Handler) http.Handler {
		c = &cutter{next: h}
		return c
	})
	return reg.Push(t, "base:1", imagetest.New(t, image.Config{}, imagetest.Busybox(t))), c
}

// TestDroppedConnection: FROM goes on where its connection broke; where that
// does not help the build fails, and the next one begins with what there is.
func TestDroppedConnection(t *testing.T) {
	var c *cutter
	s := newShop(t)
	s.base, c = cutRegistry(t)
	c.cuts.Store(1 << 20)
	r := s.inline("FROM ${BASE}\nRUN echo x > /x\n")
	if o := s.try(t.Context(), r); o.err == nil || !strings.Contains(o.err.Error(), "Dockerfile (inline):2: pull image") {
		t.Errorf("cut for good: %v", o.err)
	}
	s.checkNothingHalfDone()
	c.cuts.Store(2)
	if o := s.build(r); o.file("/x") != "x\n" {
		t.Error("the image is wrong")
	}
}

func (s *shop) checkNothingHalfDone() {
	s.Helper()
	for _, dir := range []string{"builds/work", "images/ingest", "layers/ingest"} {
		if left, _ := os.ReadDir(filepath.Join(s.data, dir)); len(left) > 0 {
			s.Errorf("%s has %v", dir, left)
		}
	}
	left, _ := filepath.Glob(filepath.Join(s.data, "builds/sources/*/*/tmp-*"))
	top, _ := filepath.Glob(filepath.Join(s.data, "builds/sources/tmp-*"))
	if left = append(left, top...); len(left) > 0 {
		s.Errorf("sources are half done: %v", left)
	}
}

// TestCancelAnywhere cancels a build in the middle of each thing that takes
// time; it ends at once, leaves nothing, and the next one succeeds.
func TestCancelAnywhere(t *testing.T) {
	s := newShop(t)
	base, c := cutRegistry(t)
	c.hanged = make(chan struct{}, 1)
	s.base = base
	hang := make(chan struct{}, 1)
	var slow atomic.Bool
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slow.Load() {
			w.Header().Set("Content-Length", "1000")
			w.Write([]byte("begin"))
			w.(http.Flusher).Flush()
			hang <- struct{}{}
			<-r.Context().Done()
			return
		}
		w.Write([]byte("all"))
	}))
	defer web.Close()
	r := s.request(map[string]string{
		"large": strings.Repeat("0123456789abcdef", 1<<20), "Dockerfile": `ARG BASE
FROM ${BASE} AS base
COPY large /large
RUN --mount=type=cache,target=/c echo up; test -e /c/quick || sleep 1000; touch /c/done
ARG URL
ADD ${URL}/file /file
FROM base
COPY --from=base /large /again
`,
	})
	r.Args["URL"] = &web.URL
	cancelled := func(what string, at func(Event) bool, signals ...chan struct{}) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var wg sync.WaitGroup
		for _, signal := range signals {
			wg.Go(func() {
				select {
				case <-signal:
					cancel()
				case <-ctx.Done():
				}
			})
		}
		_, err := s.Build(ctx, r, func(e Event) {
			if at != nil && at(e) {
				cancel()
			}
		})
		cancel()
		wg.Wait()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
		s.checkNothingHalfDone()
	}
	started := func(prefix string) func(Event) bool {
		return func(e Event) bool { return e.State == Started && strings.HasPrefix(e.Name, prefix) }
	}
	c.cuts.Store(1)
	cancelled("FROM", nil, c.hanged)
	cancelled("COPY", started("COPY large"))
	cancelled("RUN as it starts", started("RUN"))
	cancelled("RUN", func(e Event) bool { return e.State == Log })
	uses, err := s.solver.Mounts.List()
	if err != nil || len(uses) != 1 {
		t.Fatalf("%v %v", uses, err)
	}
	write(t, filepath.Join(s.data, "builds/cache", uses[0].Name, "tree"), map[string]string{"quick": ""})
	slow.Store(true)
	cancelled("ADD", nil, hang)
	slow.Store(false)
	cancelled("COPY --from", started("COPY --from"))
	if o := s.build(r); o.file("/file") != "all" || len(o.file("/again")) != 16<<20 {
		t.Error("the image is wrong")
	}
}

// TestContextKinds: an archive, also a compressed one from a stream, is a
// context as its directory is.
func TestContextKinds(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	files := map[string]string{"Dockerfile": "ARG BASE=x\nFROM ${BASE}\nCOPY . /ctx\n", "f": "f", ".dockerignore": "Dockerfile\n"}
	dir := s.request(files)
	want := s.build(dir)
	tarball := filepath.Join(t.TempDir(), "context.tar")
	archive := imagetest.Files(t, files)
	if err := os.WriteFile(tarball, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]Request{
		"tar":   {Context: source.Spec{Kind: source.KindTar, Path: tarball}},
		"stdin": {Context: source.Spec{Kind: source.KindStdin, Path: tarball}},
	} {
		r.Args = dir.Args
		if o := s.build(r); o.img.Digest != want.img.Digest || o.file("/ctx/f") != "f" {
			t.Errorf("%s: %s, want %s", name, o.img.Digest, want.img.Digest)
		}
	}
	write(t, filepath.Dir(tarball), map[string]string{"alone": "FROM scratch\nCOPY <<a /a\nalone\na\n"})
	r := Request{Context: source.Spec{Kind: source.KindStdin, Path: filepath.Join(filepath.Dir(tarball), "alone")}}
	if o := s.build(r); o.file("/a") != "alone\n" {
		t.Error("a Dockerfile alone")
	}
}
