package volumes

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func create(t *testing.T, s *Store, spec Spec) Volume {
	t.Helper()
	v, err := s.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCreateLookupListRemove(t *testing.T) {
	s := open(t)
	labels := map[string]string{"com.docker.compose.project": "shop"}
	v := create(t, s, Spec{Name: "shop_data", Labels: labels, Project: "shop"})
	if v.Driver != "local" || v.Created.IsZero() || v.Path != filepath.Join(s.dir, "shop_data", "_data") {
		t.Errorf("created %+v", v)
	}
	if err := os.WriteFile(filepath.Join(v.Path, "precious"), []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	again := create(t, s, Spec{Name: "shop_data"})
	if diff := cmp.Diff(v, again); diff != "" {
		t.Errorf("creating it again gave another volume (-first +second):\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(v.Path, "precious")); err != nil {
		t.Errorf("creating it again lost data: %v", err)
	}
	create(t, s, Spec{Name: AnonymousName(), Anonymous: true})

	reopened, err := Open(filepath.Dir(s.dir))
	if err != nil {
		t.Fatal(err)
	}
	all, err := reopened.List()
	if err != nil || len(all) != 2 {
		t.Fatalf("list: %v, %v", all, err)
	}
	if diff := cmp.Diff(v, all[1]); diff != "" {
		t.Errorf("listed (-created +listed):\n%s", diff)
	}
	for range 2 { // removing is idempotent
		if err := s.Remove(t.Context(), "shop_data"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Lookup("shop_data"); !errors.Is(err, ErrNotFound) {
		t.Errorf("lookup after removal: %v", err)
	}
	if names := entries(t, s.dir); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
}

func TestNamesAreChecked(t *testing.T) {
	s := open(t)
	for _, name := range []string{"", ".", "..", "../x", "a/b", ".trash-1", "-a", "a b", "a\x00b", "ä", strings.Repeat("a", 256)} {
		if _, err := s.Create(t.Context(), Spec{Name: name}); !errors.Is(err, ErrBadName) {
			t.Errorf("create %q: %v", name, err)
		}
		if _, err := s.Lookup(name); !errors.Is(err, ErrBadName) {
			t.Errorf("lookup %q: %v", name, err)
		}
		if err := s.Remove(t.Context(), name); !errors.Is(err, ErrBadName) {
			t.Errorf("remove %q: %v", name, err)
		}
	}
	if names := entries(t, s.dir); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestConcurrentCreation(t *testing.T) {
	s := open(t)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := s.Create(context.Background(), Spec{Name: "one"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if names := entries(t, s.dir); len(names) != 1 {
		t.Errorf("made %v", names)
	}
}

func TestDriverOpts(t *testing.T) {
	s := open(t)
	tests := []struct {
		opts map[string]string
		want Mount
		err  string
	}{
		{opts: map[string]string{"type": "none", "o": "bind,ro", "device": "/srv"}, want: Mount{Type: "bind", Source: "/srv", Options: []string{"bind", "ro"}}},
		{opts: map[string]string{"type": "tmpfs", "o": "size=10m,uid=1000", "device": "tmpfs"}, want: Mount{Type: "tmpfs", Source: "tmpfs", Options: []string{"size=10m", "uid=1000"}}},
		{opts: map[string]string{"type": "tmpfs"}, want: Mount{Type: "tmpfs", Source: "tmpfs"}},
		{opts: map[string]string{"type": "nfs", "o": "addr=10.0.0.1,rw", "device": ":/exports"}, want: Mount{Type: "nfs", Source: ":/exports", Options: []string{"addr=10.0.0.1", "rw"}}},
		{opts: map[string]string{"o": "bind", "device": "data"}, err: `device "data" must be an absolute path`},
		{opts: map[string]string{"device": "/dev/sdb1"}, err: "need a type"},
		{opts: map[string]string{"typ": "nfs"}, err: `unknown option "typ"`},
	}
	for _, tt := range tests {
		v, err := s.Create(t.Context(), Spec{Name: AnonymousName(), DriverOpts: tt.opts})
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%v: error %v, want %q", tt.opts, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", tt.opts, err)
			continue
		}
		got, err := v.Mount(t.Context())
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.opts, diff)
		}
	}
	if _, err := s.Create(t.Context(), Spec{Name: "x", Driver: "rexray"}); !errors.Is(err, ErrBadDriver) {
		t.Errorf("foreign driver: %v", err)
	}
	plain := create(t, s, Spec{Name: "plain"})
	if d := plain.Differs(Spec{Name: "plain", Driver: "local"}); d != "" {
		t.Errorf("plain differs: %s", d)
	}
	if d := plain.Differs(Spec{Name: "plain", DriverOpts: map[string]string{"type": "tmpfs"}}); d == "" {
		t.Error("other driver_opts go unnoticed")
	}
}

func TestSweep(t *testing.T) {
	s := open(t)
	create(t, s, Spec{Name: "kept"})
	for _, left := range []string{".new-123/_data", ".trash-abc/_data/deep/er"} {
		if err := os.MkdirAll(filepath.Join(s.dir, left), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.List()
	if err != nil || len(all) != 1 {
		t.Errorf("list shows what is no volume: %v, %v", all, err)
	}
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"kept"}, entries(t, s.dir)); diff != "" {
		t.Errorf("after the sweep (-want +got):\n%s", diff)
	}
}

func TestRemoveStaysInside(t *testing.T) {
	s := open(t)
	outside := t.TempDir()
	keep := filepath.Join(outside, "keep")
	if err := os.WriteFile(keep, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	v := create(t, s, Spec{Name: "trap"})
	if err := os.Symlink(outside, filepath.Join(v.Path, "link")); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), "trap"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(keep); err != nil {
		t.Errorf("removal followed a symbolic link: %v", err)
	}
}

func TestDamagedRecord(t *testing.T) {
	s := open(t)
	create(t, s, Spec{Name: "good"})
	v := create(t, s, Spec{Name: "bad"})
	if err := os.WriteFile(filepath.Join(filepath.Dir(v.Path), recordFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := s.List()
	if len(all) != 1 || err == nil || !strings.Contains(err.Error(), `"bad"`) {
		t.Errorf("list: %v, %v", all, err)
	}
	// It must not be taken for missing: a new one would hide the data.
	if _, err := s.Create(t.Context(), Spec{Name: "bad"}); err == nil {
		t.Error("created over a damaged record")
	}
}

func TestBindSource(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dangling := filepath.Join(dir, "dangling")
	if err := os.Symlink("/nowhere/at/all", dangling); err != nil {
		t.Fatal(err)
	}
	made := filepath.Join(dir, "a", "b")
	tests := []struct {
		path   string
		create bool
		err    string
	}{
		{path: dir},
		{path: file, create: true},
		{path: filepath.Join(dir, "none"), err: "does not exist"},
		{path: made, create: true},
		{path: filepath.Join(file, "x"), create: true, err: "not a directory"},
		{path: dangling, create: true, err: `symbolic link to "/nowhere/at/all"`},
		{path: "relative", err: "not an absolute path"},
	}
	for _, tt := range tests {
		err := BindSource(tt.path, tt.create)
		switch {
		case tt.err == "" && err != nil:
			t.Errorf("%s: %v", tt.path, err)
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), tt.path)):
			t.Errorf("%s: error %v, want it to name the path and %q", tt.path, err, tt.err)
		}
	}
	if info, err := os.Stat(made); err != nil || !info.IsDir() {
		t.Errorf("create_host_path made no directory: %v", err)
	}
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}
