package build

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"devstack/engine/image"
	"devstack/engine/image/manage"
)

// TestPrune: the layers of records stay until the records go, and what is
// gone is built again.
func TestPrune(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	r := s.inline("FROM ${BASE} AS a\nRUN --mount=type=cache,target=/c echo x > /x; echo y > /c/y\nFROM ${BASE}\nCOPY --from=a /x /y\n")
	first := s.build(r)
	use := manage.InUse{Builds: s.Builder}
	s.Builder.solver.Cache.Close()
	records, err := s.Records(t.Context())
	if err != nil || len(records) != 4 { // RUN, COPY by both keys, cache mount
		t.Fatalf("%d records: %+v %v", len(records), records, err)
	}
	if _, err := manage.Collect(t.Context(), s.store, use); err != nil {
		t.Fatal(err)
	}
	if again := s.build(r); len(again.did(Started)) != 0 {
		t.Errorf("collected what records hold: %q", again.did(Started))
	}
	out, err := manage.PruneBuilds(t.Context(), s.store, use, manage.PruneBuildsOptions{})
	if err != nil || len(out.Records) != 4 || out.Collected.Layers != 1 {
		t.Errorf("%+v %v", out, err)
	}
	if left, _ := os.ReadDir(filepath.Join(s.data, "builds/cache")); len(left) != 0 {
		t.Errorf("cache mounts are left: %v", left)
	}
	again := s.build(r)
	if len(again.did(Started)) != 2 || again.img.Digest != first.img.Digest {
		t.Errorf("after the cache was pruned: %q %s", again.did(Started), again.img.Digest)
	}
	s.Builder.solver.Cache.Close()
	if out, err := manage.PruneBuilds(t.Context(), s.store, use, manage.PruneBuildsOptions{Filter: manage.Filter{Until: time.Now().Add(-time.Hour)}}); err != nil || len(out.Records) != 0 {
		t.Errorf("what was used just now: %+v %v", out, err)
	}
}

// TestPruneSources: what was fetched for a build is a record like others.
func TestPruneSources(t *testing.T) {
	s := newShop(t)
	asked := 0
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Write([]byte("content"))
	}))
	defer web.Close()
	r := s.inline("FROM scratch\nARG URL\nADD ${URL}/file /f\n")
	r.Args["URL"] = &web.URL
	if got := s.build(r).file("/f"); got != "content" {
		t.Errorf("content is %q", got)
	}
	s.Builder.solver.Cache.Close()
	out, err := manage.PruneBuilds(t.Context(), s.store, manage.InUse{Builds: s.Builder}, manage.PruneBuildsOptions{})
	if err != nil {
		t.Fatal(err)
	}
	fetched := 0
	for _, r := range out.Records {
		if r.Kind == kindSource && r.Description == web.URL+"/file" && r.Size > 0 {
			fetched++
		}
	}
	if fetched != 1 {
		t.Errorf("what was pruned: %+v", out.Records)
	}
	if left, err := s.Records(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("records are left: %+v %v", left, err)
	}
	if s.build(r); asked != 2 {
		t.Errorf("the server was asked %d times", asked)
	}
}

// TestKilledEngine: what a process left half done is cleared away, and records
// of layers that are not there do not count.
func TestKilledEngine(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	r := s.inline("FROM ${BASE}\nRUN echo x > /x\n")
	first := s.build(r)
	write(t, filepath.Join(s.data, "builds/work"), map[string]string{"HALF/upper/x": "x"})
	write(t, filepath.Join(s.data, "builds/records/v1/aa"), map[string]string{"aabb.json": "{\"versi"})
	cfg := s.Builder.cfg
	b, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if left, _ := os.ReadDir(filepath.Join(s.data, "builds/work")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if err := os.RemoveAll(filepath.Dir(first.img.Layers[1].Dir)); err != nil {
		t.Fatal(err)
	}
	img, err := b.Build(t.Context(), r, nil)
	if err != nil || img.Digest != first.img.Digest {
		t.Errorf("%s %v", img.Digest, err)
	}
	if _, err := s.store.Lookup(t.Context(), string(img.ID)); err != nil {
		t.Error(err)
	}
}
