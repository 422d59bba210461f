package build

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"devstack/engine/image"
	"devstack/engine/image/imagetest"
	"devstack/engine/image/registry"
	"devstack/engine/image/store"
)

const cachedStages = `FROM ${BASE} AS build
RUN echo made > /made
RUN true
FROM ${BASE}
WORKDIR /w
COPY --from=build /made .
RUN cp made again
`

// TestTravellingCache: another machine takes steps from where this one put
// them, and carries out none itself.
func TestTravellingCache(t *testing.T) {
	reg := imagetest.Serve(t, nil)
	dir := filepath.Join(t.TempDir(), "cache")
	parse := func(text string) CacheRef {
		c, err := ParseCache(text, "/")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := newShop(t).busybox(image.Config{})
	made := first.dockerfile(cachedStages, func(r *Request) {
		r.CacheTo = []CacheRef{
			parse("type=local,dest=" + dir + ",mode=max"), parse("type=registry,mode=max,ref=" + reg.Host + "/cache:max"),
			parse("type=inline"), parse("type=local,dest=" + dir + "-min"),
		}
		r.Tags = []string{reg.Host + "/app:1"}
	})
	ref, err := image.ParseReference(reg.Host + "/app:1")
	if err != nil {
		t.Fatal(err)
	}
	remote := registry.New(registry.Options{})
	defer remote.Close()
	if _, err := remote.Push(t.Context(), first.store, ref, image.Image{}, nil); err != nil {
		t.Fatal(err)
	}
	entries, err := first.store.Entries()
	if err != nil || slices.ContainsFunc(entries, func(e store.Entry) bool {
		return strings.Contains(e.Ref, "cache") || strings.HasPrefix(e.Ref, "sha256:")
	}) {
		t.Errorf("an export left names: %+v %v", entries, err)
	}
	all := []string{"COPY --from=build /made .", "RUN cp made again", "RUN echo made > /made", "RUN true", "WORKDIR /w"}
	own := []string{"RUN echo made > /made", "RUN true"}
	for _, x := range []struct {
		from string
		runs []string
	}{
		{"type=local,src=" + dir, nil},
		{reg.Host + "/cache:max", nil},
		{"type=registry,ref=" + reg.Host + "/app:1", own},
		{"type=local,src=" + dir + "-min", own},
		{"type=local,src=/nowhere", all},
		{"type=gha", all},
	} {
		s := newShop(t).busybox(image.Config{})
		o := s.dockerfile(cachedStages, func(r *Request) {
			r.CacheFrom, r.CacheTo = []CacheRef{parse(x.from)}, []CacheRef{parse("type=inline")}
		})
		if got := o.did(Started); !slices.Equal(got, x.runs) || o.img.Manifest != made.img.Manifest || o.file("/w/again") != "made\n" {
			t.Errorf("%s: ran %q, %s, want %q, %s", x.from, got, o.img.Manifest, x.runs, made.img.Manifest)
		}
		if warned := slices.ContainsFunc(o.events, func(e Event) bool { return e.State == Warning && e.Name == "Cache" }); warned != (len(x.runs) == len(all)) {
			t.Errorf("%s: warnings: %v", x.from, warned)
		}
		// What was imported is known here from now on.
		again := s.dockerfile(cachedStages, func(r *Request) { r.CacheTo = []CacheRef{parse("type=inline")} })
		if len(again.did(Started)) != 0 || again.img.Manifest != made.img.Manifest {
			t.Errorf("%s, again: ran %q", x.from, again.did(Started))
		}
	}
}

// TestCacheExport: what an export leaves is what the last one needs, and one
// that fails says so.
func TestCacheExport(t *testing.T) {
	s := newShop(t).busybox(image.Config{})
	dir := t.TempDir()
	blobs := func() int {
		entries, err := os.ReadDir(filepath.Join(dir, "blobs/sha256"))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	to := func(r *Request) { r.CacheTo = []CacheRef{{Type: cacheLocal, Dir: dir, Max: true}} }
	s.dockerfile("FROM ${BASE}\nRUN echo 1 > /1\nRUN echo 2 > /2\n", to)
	if n := blobs(); n != 4 { // two layers, manifest, configuration
		t.Errorf("%d blobs", n)
	}
	s.dockerfile("FROM ${BASE}\nRUN echo 1 > /1\n", to)
	if n := blobs(); n != 3 {
		t.Errorf("%d blobs are left", n)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	bad := s.inline("FROM ${BASE}\nRUN echo 1 > /1\n", func(r *Request) {
		r.CacheTo = []CacheRef{{Type: cacheLocal, Dir: filepath.Join(dir, "file/x")}}
	})
	if o := s.try(t.Context(), bad); o.err == nil || !strings.Contains(o.err.Error(), "export cache to "+dir) {
		t.Error(o.err)
	}
	bad.CacheTo[0].IgnoreErrors = true
	s.build(bad)
}

func TestParseCache(t *testing.T) {
	for text, want := range map[string]CacheRef{
		"example.com/a:cache":                           {Type: "registry", Ref: "example.com/a:cache"},
		"type=registry,ref=a/b,mode=max":                {Type: "registry", Ref: "a/b", Max: true},
		"type=local,src=./x":                            {Type: "local", Dir: "/p/x"},
		"type=local, dest=/y,ignore-error=true":         {Type: "local", Dir: "/y", IgnoreErrors: true},
		"type=gha,scope=main,compression=zstd,mode=min": {Type: "gha"},
	} {
		if got, err := ParseCache(text, "/p"); err != nil || got != want {
			t.Errorf("%q: %+v %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"ref=x": "no type", "type=local": "no directory", "type=registry": "no ref", "type=local,mode=most": "mode", "type=local,src": "key=value",
	} {
		if _, err := ParseCache(text, "/p"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
