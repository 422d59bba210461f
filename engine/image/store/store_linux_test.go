package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"devstack/engine/image"
	"devstack/engine/image/fetch"
	"devstack/engine/image/imagetest"
	"devstack/engine/image/store"
)

func open(t testing.TB, root string) *store.Store {
	t.Helper()
	s, err := store.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func add(t testing.TB, s *store.Store, name string, files ...map[string]string) image.Image {
	t.Helper()
	var layers []imagetest.Layer
	for _, f := range files {
		layers = append(layers, imagetest.Files(t, f))
	}
	ref := imagetest.SaveOCI(t, filepath.Join(t.TempDir(), name), "", imagetest.New(t, image.Config{}, layers...))
	img, err := fetch.Ensure(t.Context(), s, ref, fetch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestGCKeepsWhatIsReachable(t *testing.T) {
	root := imagetest.TempDir(t)
	s := open(t, root)
	common := map[string]string{"common": "1"}
	a := add(t, s, "a", common, map[string]string{"a": "1"})
	b := add(t, s, "b", common, map[string]string{"b": "1"})
	c := add(t, s, "c", map[string]string{"c": "1"})
	if got, err := s.GC(t.Context()); err != nil || got.Layers != 0 || got.Blobs != 0 {
		t.Errorf("something of named images was collected: %+v, %v", got, err)
	}
	for _, img := range []image.Image{a, c} {
		if err := s.Remove(t.Context(), img.Ref); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Lookup(t.Context(), a.Ref); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("removed image is found: %v", err)
	}
	got, err := s.GC(t.Context(), c) // a container runs on c
	if err != nil || got.Layers != 1 || got.Blobs != 3 {
		t.Errorf("collected %+v, %v", got, err)
	}
	for i, dir := range []string{b.Layers[0].Dir, b.Layers[1].Dir, c.Layers[0].Dir} {
		if !exists(dir) {
			t.Errorf("layer %d is gone", i)
		}
	}
	if exists(a.Layers[1].Dir) {
		t.Error("unreachable layer is still there")
	}
	if err := s.Remove(t.Context(), "nothing"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("removing nothing: %v", err)
	}
	if _, err := s.Lookup(t.Context(), b.Ref); err != nil {
		t.Error(err)
	}
}

func TestGCWaitsForWriters(t *testing.T) {
	s := open(t, imagetest.TempDir(t))
	end, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.WriteBlob([]byte("not named yet"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.GC(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("collection beside a writer: %v", err)
	}
	if !s.HasBlob(d, -1) {
		t.Error("a writer's blob was collected")
	}
	end()
	if got, err := s.GC(t.Context()); err != nil || got.Blobs != 1 {
		t.Errorf("collected %+v, %v", got, err)
	}
}

// TestLayersOfAnotherBoot: a mark of an earlier boot means that the machine
// went down before the layer was on disk.
func TestLayersOfAnotherBoot(t *testing.T) {
	root := imagetest.TempDir(t)
	s, err := store.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	img := add(t, s, "a", map[string]string{"a": "1"})
	s.Close()
	marks := filepath.Join(root, "layers/unsynced")
	if names, _ := os.ReadDir(marks); len(names) != 0 {
		t.Fatalf("marks are left after the sync: %v", names)
	}
	mark := filepath.Join(marks, strings.Replace(string(img.Layers[0].DiffID), ":", "-", 1))
	if err := os.WriteFile(mark, []byte("another boot"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, root)
	if exists(img.Layers[0].Dir) || exists(mark) {
		t.Error("the layer or its mark is still there")
	}
	if _, err := s.Lookup(t.Context(), img.Ref); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("lookup: %v", err)
	}
	if _, err := fetch.Ensure(t.Context(), s, img.Ref, fetch.Options{Policy: fetch.Never}); err != nil {
		t.Errorf("from the blobs: %v", err)
	}
}

func TestLookupByID(t *testing.T) {
	s := open(t, imagetest.TempDir(t))
	img := add(t, s, "a", map[string]string{"a": "1"})
	for _, id := range []string{string(img.ID), img.ID.Encoded(), img.ID.Encoded()[:12]} {
		if got, err := s.Lookup(t.Context(), id); err != nil || got.ID != img.ID {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, id := range []string{"sha256:", img.ID.Encoded()[:5], "000000000000"} {
		if _, err := s.Lookup(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// TestIndexUnderContention: entries added by two stores at once all stay.
func TestIndexUnderContention(t *testing.T) {
	root := imagetest.TempDir(t)
	stores := []*store.Store{open(t, root), open(t, root)}
	d, err := stores[0].WriteBlob([]byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			e := store.Entry{Ref: "docker.io/library/i" + string(rune('a'+i)) + ":1", Source: d}
			e.Manifest.Digest, e.Manifest.Size = d, 2
			if err := stores[i%2].Put(t.Context(), e); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range 20 {
		if _, err := stores[i%2].Find("i"+string(rune('a'+i))+":1", ""); err != nil {
			t.Error(err)
		}
	}
}

func TestDamagedIndexIsNamed(t *testing.T) {
	root := imagetest.TempDir(t)
	s := open(t, root)
	if err := os.WriteFile(filepath.Join(root, "images/index.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lookup(t.Context(), "nginx"); err == nil || !strings.Contains(err.Error(), "index.json") {
		t.Errorf("error is %v", err)
	}
}

func BenchmarkLookup(b *testing.B) {
	s := open(b, imagetest.TempDir(b))
	img := add(b, s, "a", map[string]string{"a": "1"}, map[string]string{"b": "1"}, map[string]string{"c": "1"})
	for b.Loop() {
		if _, err := s.Lookup(b.Context(), img.Ref); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	root := imagetest.TempDir(b)
	for b.Loop() {
		s, err := store.Open(root)
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
