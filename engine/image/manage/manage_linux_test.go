package manage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/image"
	"devstack/engine/image/commit"
	"devstack/engine/image/imagetest"
	"devstack/engine/image/manage"
	"devstack/engine/image/store"
)

var epoch = time.Unix(1_700_000_000, 0)

func openStore(t testing.TB) (*store.Store, string) {
	t.Helper()
	root := imagetest.TempDir(t)
	s, err := store.Open(root)
	must(t, err)
	t.Cleanup(s.Close)
	return s, root
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// build makes an image of one layer, with a file called like the first tag.
func build(t testing.TB, s *store.Store, root string, files map[string]string, spec commit.Spec) image.Image {
	t.Helper()
	dir := filepath.Join(root, "upper")
	must(t, os.Mkdir(dir, 0o755))
	for name, data := range files {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644))
	}
	l, err := commit.Layer(t.Context(), s, dir, commit.Options{Epoch: epoch})
	must(t, err)
	spec.Layers = append(spec.Layers, l)
	if spec.Created.IsZero() {
		spec.Created = epoch
	}
	img, err := commit.Image(t.Context(), s, spec)
	must(t, err)
	return img
}

func named(t testing.TB, s *store.Store, root string, tags ...string) image.Image {
	t.Helper()
	return build(t, s, root, map[string]string{strings.ReplaceAll(tags[0], "/", "_"): tags[0]}, commit.Spec{Tags: tags})
}

func names(t testing.TB, s *store.Store) []string {
	t.Helper()
	entries, err := s.Entries()
	must(t, err)
	var out []string
	for _, e := range entries {
		if e.Unnamed() {
			out = append(out, "<none>")
		} else {
			out = append(out, image.FamiliarString(e.Ref))
		}
	}
	slices.Sort(out)
	return out
}

func TestTag(t *testing.T) {
	s, root := openStore(t)
	a, b := named(t, s, root, "a:1"), named(t, s, root, "b:1")
	must(t, manage.Tag(t.Context(), s, "a:1", "reg.example/a:2"))
	must(t, manage.Tag(t.Context(), s, a.ID.Encoded()[:12], "b:1"))
	if d := cmp.Diff([]string{"a:1", "b:1", "reg.example/a:2"}, names(t, s)); d != "" {
		t.Error(d)
	}
	if got, err := s.Lookup(t.Context(), "b:1"); err != nil || got.ID != a.ID {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := s.Lookup(t.Context(), b.ID.Encoded()); err == nil {
		t.Error("an image that lost its name is still found")
	}
	must(t, manage.Tag(t.Context(), s, "a@"+string(a.Digest), "a:3"))
	if got, err := s.Lookup(t.Context(), "a:3"); err != nil || got.ID != a.ID {
		t.Errorf("by name and digest: %+v, %v", got, err)
	}
	for _, none := range []string{"other@" + string(a.Digest), "a@sha256:" + strings.Repeat("0", 64)} {
		if err := manage.Tag(t.Context(), s, none, "x"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: error is %v", none, err)
		}
	}
	for _, bad := range []string{"", "rootfs:/", "a@" + string(a.Digest), "A:b:c", "sha256:1234"} {
		if err := manage.Tag(t.Context(), s, "a:1", bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if err := manage.Tag(t.Context(), s, "nothing", "x"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("error is %v", err)
	}
	unnamed := build(t, s, root, map[string]string{"u": ""}, commit.Spec{})
	must(t, manage.Tag(t.Context(), s, string(unnamed.ID), "u:1"))
	if slices.Contains(names(t, s), "<none>") {
		t.Error("an image with a name is still listed without")
	}
}

func TestHistory(t *testing.T) {
	s, root := openStore(t)
	base := build(t, s, root, map[string]string{"a": strings.Repeat("a", 10_000)}, commit.Spec{
		History: []ocispec.History{{CreatedBy: "COPY a", Created: &epoch}, {CreatedBy: "ENV x", EmptyLayer: true}},
	})
	build(t, s, root, map[string]string{"b": ""}, commit.Spec{Base: base, Tags: []string{"x"}})
	got, err := manage.History(t.Context(), s, "x")
	must(t, err)
	var lines []string
	for _, h := range got {
		lines = append(lines, fmt.Sprintln(h.CreatedBy, h.Layer != "", h.Size >= 10_000, h.Blob > 0))
	}
	if d := cmp.Diff([]string{"devstack true false true\n", "ENV x false false false\n", "COPY a true true true\n"}, lines); d != "" {
		t.Error(d)
	}
}

func TestRemove(t *testing.T) {
	s, root := openStore(t)
	a := named(t, s, root, "a:1", "a:2")
	b := named(t, s, root, "b:1")
	running := true
	c, d := named(t, s, root, "c:1"), named(t, s, root, "d:1")
	use := manage.InUse{Containers: func() ([]manage.Container, error) {
		return []manage.Container{{Name: "p-web-1", Running: running, Image: a}}, nil
	}}
	remove := func(force bool, refs ...string) (manage.Removed, error) {
		return manage.Remove(t.Context(), s, use, refs, manage.RemoveOptions{Force: force})
	}
	if _, err := remove(false, a.ID.Encoded()[:12]); err == nil || !strings.Contains(err.Error(), "several names: a:1, a:2") {
		t.Errorf("by ID: %v", err)
	}
	// The beginning of an ID does where it is only one's. Names come first.
	short := ""
	for n := 1; n < 12 && short == ""; n++ {
		short = c.ID.Encoded()[:n]
		if slices.ContainsFunc([]image.Image{a, b, d}, func(i image.Image) bool { return strings.HasPrefix(i.ID.Encoded(), short) }) {
			short = ""
		}
	}
	must(t, manage.Tag(t.Context(), s, "d:1", short))
	if got, err := remove(false, short); err != nil || len(got.Untagged) != 1 || len(got.Deleted) != 0 {
		t.Errorf("a name that looks like an ID: %+v, %v", got, err)
	}
	if got, err := remove(false, short); err != nil || len(got.Deleted) != 1 || got.Deleted[0] != c.ID {
		t.Errorf("by the beginning of the ID: %+v, %v", got, err)
	}
	if _, err := remove(false, "d:1"); err != nil {
		t.Error(err)
	}
	if got, err := remove(true, "nothing"); err != nil || len(got.Missing) != 1 || !errors.Is(got.Missing[0], store.ErrNotFound) {
		t.Errorf("what is not there, force: %+v, %v", got, err)
	}
	if got, err := remove(false, "a:1"); err != nil || len(got.Untagged) != 1 || len(got.Deleted) != 0 {
		t.Errorf("one of two names: %+v, %v", got, err)
	}
	var used *manage.InUseError
	for _, force := range []bool{false, true} {
		if _, err := remove(force, "a:2"); !errors.As(err, &used) || !used.Running || image.Hint(err) == "" {
			t.Errorf("used by a running container, force %v: %v", force, err)
		}
	}
	running = false
	got, err := remove(false, "nothing", "a:2", "b:1")
	if !errors.As(err, &used) || !errors.Is(err, store.ErrNotFound) {
		t.Errorf("error is %v", err)
	} else {
		t.Log(err)
	}
	if len(got.Deleted) != 1 || got.Collected.Layers != 1 || got.Collected.Blobs != 3 {
		t.Errorf("the one that could go: %+v", got)
	}
	if got, err := remove(true, "a:2"); err != nil || got.Collected.Layers != 0 {
		t.Errorf("force: %+v, %v", got, err)
	}
	if _, err := os.Stat(a.Layers[0].Dir); err != nil {
		t.Errorf("a container's layer is gone: %v", err)
	}
	if n := names(t, s); len(n) != 0 {
		t.Errorf("left: %v", n)
	}
	use.Containers = nil
	if got, err := manage.Collect(t.Context(), s, use); err != nil || got.Layers != 1 || got.LayerBytes == 0 {
		t.Errorf("after the container: %+v, %v", got, err)
	}
}

// age makes an image older than it is.
func age(t testing.TB, s *store.Store, ref string, by time.Duration) {
	t.Helper()
	e, err := s.Find(ref, "")
	must(t, err)
	e.Added = time.Now().Add(-by)
	must(t, s.Set(t.Context(), e))
}

func TestPrune(t *testing.T) {
	now := time.Now()
	filter := func(f ...string) manage.Filter {
		t.Helper()
		got, err := manage.ParseFilter(f, now)
		must(t, err)
		return got
	}
	for _, tt := range []struct {
		name string
		o    manage.PruneOptions
		left string
	}{
		{"dangling", manage.PruneOptions{}, "label:1 new:1 old:1 used:1"},
		{"all", manage.PruneOptions{All: true}, "used:1"},
		{"dry run", manage.PruneOptions{All: true, DryRun: true}, "<none> label:1 new:1 old:1 used:1"},
		{"by filter", manage.PruneOptions{Filter: filter("dangling=false")}, "used:1"},
		{"until", manage.PruneOptions{All: true, Filter: filter("until=24h")}, "<none> label:1 new:1 used:1"},
		{"label", manage.PruneOptions{All: true, Filter: filter("label=keep=no")}, "<none> new:1 old:1 used:1"},
		{"not label", manage.PruneOptions{All: true, Filter: filter("label!=keep")}, "label:1 used:1"},
		{"label and until", manage.PruneOptions{All: true, Filter: filter("label=keep", "until=10d")}, "<none> label:1 new:1 old:1 used:1"},
		{"size: all fits", manage.PruneOptions{All: true, Keep: 1 << 40}, "<none> label:1 new:1 old:1 used:1"},
		{"size: half", manage.PruneOptions{All: true, Keep: 3_500_000}, "<none> new:1 used:1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, root := openStore(t)
			bulk := func(name string, spec commit.Spec) image.Image {
				return build(t, s, root, map[string]string{name: strings.Repeat(name, 1_000_000/len(name))}, spec)
			}
			used := bulk("used", commit.Spec{Tags: []string{"used:1"}})
			bulk("old", commit.Spec{Tags: []string{"old:1"}})
			c := image.Config{}
			c.Labels = map[string]string{"keep": "no"}
			bulk("label", commit.Spec{Tags: []string{"label:1"}, Config: c})
			bulk("none", commit.Spec{})
			bulk("new", commit.Spec{Tags: []string{"new:1"}})
			age(t, s, "used:1", 72*time.Hour)
			age(t, s, "old:1", 48*time.Hour)
			age(t, s, "label:1", 12*time.Hour)
			use := manage.InUse{Containers: func() ([]manage.Container, error) {
				return []manage.Container{{Name: "c", Image: used}}, nil
			}}
			before := len(names(t, s))
			got, err := manage.Prune(t.Context(), s, use, tt.o)
			must(t, err)
			if left := strings.Join(names(t, s), " "); left != tt.left {
				t.Errorf("left: %s, want %s", left, tt.left)
			}
			if gone := before - len(names(t, s)); !tt.o.DryRun && (len(got.Deleted) != gone || got.Collected.Layers != gone) {
				t.Errorf("%d names are gone; %+v", gone, got)
			}
			if _, err := s.Lookup(t.Context(), "used:1"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPruneBesideABuild: what a build has written and not yet named stays,
// because the collection waits for its end.
func TestPruneBesideABuild(t *testing.T) {
	s, root := openStore(t)
	end, err := s.Begin(t.Context())
	must(t, err)
	dir := filepath.Join(root, "upper")
	must(t, os.MkdirAll(dir+"/x", 0o755))
	l, err := commit.Layer(t.Context(), s, dir, commit.Options{})
	must(t, err)
	done := make(chan error)
	go func() {
		_, err := manage.Prune(t.Context(), s, manage.InUse{}, manage.PruneOptions{All: true})
		done <- err
	}()
	if !s.HasLayer(l.DiffID) {
		t.Error("the layer is gone")
	}
	_, err = commit.Image(t.Context(), s, commit.Spec{Layers: []image.Layer{l}, Tags: []string{"built"}})
	must(t, err)
	end()
	must(t, <-done)
	// Prune judged the names before the build's was there, or after.
	if got, err := s.Lookup(t.Context(), "built"); err == nil && !s.HasLayer(got.Layers[0].DiffID) {
		t.Error("the image is named and its layer is gone")
	}
}

// fakeBuilds is a build cache in memory.
type fakeBuilds struct{ records []manage.BuildRecord }

func (f *fakeBuilds) Records(_ context.Context) ([]manage.BuildRecord, error) { return f.records, nil }

func (f *fakeBuilds) Forget(_ context.Context, ids []string) error {
	f.records = slices.DeleteFunc(f.records, func(r manage.BuildRecord) bool { return slices.Contains(ids, r.ID) && !r.InUse })
	return nil
}

func TestPruneBuilds(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    manage.PruneBuildsOptions
		left string
	}{
		{"all", manage.PruneBuildsOptions{}, "running"},
		{"budget", manage.PruneBuildsOptions{Keep: 2_500_000}, "running step3"},
		{"budget for all", manage.PruneBuildsOptions{Keep: 1 << 40}, "mount running step1 step2 step3"},
		{"unused for long", manage.PruneBuildsOptions{Filter: manage.Filter{Until: epoch.Add(-90 * time.Minute)}}, "running step2 step3"},
		{"dry run", manage.PruneBuildsOptions{DryRun: true}, "mount running step1 step2 step3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, root := openStore(t)
			step := func(i int) manage.BuildRecord {
				dir := filepath.Join(root, "upper")
				must(t, os.Mkdir(dir, 0o755))
				must(t, os.WriteFile(dir+"/f", []byte(strings.Repeat(fmt.Sprint(i), 1_000_000)), 0o644))
				l, err := commit.Layer(t.Context(), s, dir, commit.Options{})
				must(t, err)
				return manage.BuildRecord{
					ID: fmt.Sprintf("step%d", i), Used: epoch.Add(time.Duration(i-3) * time.Hour),
					Layers: []digest.Digest{l.DiffID}, Blobs: []digest.Digest{l.Digest},
				}
			}
			cache := &fakeBuilds{[]manage.BuildRecord{step(1), step(2), step(3), step(4)}}
			cache.records[3].ID, cache.records[3].InUse, cache.records[3].Used = "running", true, epoch.Add(-10*time.Hour)
			cache.records = append(cache.records, manage.BuildRecord{ID: "mount", Used: epoch.Add(-9 * time.Hour), Size: 5_000_000})
			got, err := manage.PruneBuilds(t.Context(), s, manage.InUse{Builds: cache}, tt.o)
			must(t, err)
			var left []string
			for _, r := range cache.records {
				left = append(left, r.ID)
				for _, d := range r.Layers {
					if !s.HasLayer(d) {
						t.Errorf("the layer of %s is gone", r.ID)
					}
				}
			}
			slices.Sort(left)
			if l := strings.Join(left, " "); l != tt.left {
				t.Errorf("left: %s, want %s", l, tt.left)
			}
			if !tt.o.DryRun && len(got.Records)+len(left) != 5 {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestDiskUsage(t *testing.T) {
	s, root := openStore(t)
	base := build(t, s, root, map[string]string{"base": strings.Repeat("b", 1_000_000)}, commit.Spec{Tags: []string{"base:1"}})
	app := build(t, s, root, map[string]string{"app": strings.Repeat("a", 2_000_000)}, commit.Spec{Base: base, Tags: []string{"app:1", "app:2"}})
	upper, data := filepath.Join(root, "c/upper"), filepath.Join(root, "v/_data")
	for _, dir := range []string{upper, data} {
		must(t, os.MkdirAll(dir, 0o755))
	}
	must(t, os.WriteFile(upper+"/f", make([]byte, 300_000), 0o600))
	must(t, os.Link(upper+"/f", upper+"/g"))
	must(t, os.WriteFile(data+"/f", make([]byte, 700_000), 0o600))
	use := manage.InUse{Containers: func() ([]manage.Container, error) {
		return []manage.Container{{ID: "1", Name: "shop-web-1", Project: "shop", Image: app, Upper: upper}}, nil
	}}
	u, err := manage.DiskUsage(t.Context(), s, use, []manage.Volume{{Name: "shop_db", Project: "shop", Path: data}, {Name: "nfs"}})
	must(t, err)
	near := func(what string, got, want int64) {
		t.Helper()
		if got < want || got > want+100_000 {
			t.Errorf("%s is %d, want %d or little more", what, got, want)
		}
	}
	near("container", u.Containers[0].Size, 300_000)
	near("volume", u.Volumes[0].Size, 700_000)
	near("layers", u.Layers, 3_000_000)
	near("base", u.Images[0].Size, 1_000_000)
	near("base alone", u.Images[0].Unique, 0)
	near("app", u.Images[1].Size, 3_000_000)
	near("app alone", u.Images[1].Unique, 2_000_000)
	if d := cmp.Diff([]string{"app:1", "app:2"}, u.Images[1].Names); d != "" {
		t.Error(d)
	}
	near("what containers hold", u.Held, 3_000_000)
	if all := u.Blobs + u.Layers; u.Held > all {
		t.Errorf("containers hold %d of %d", u.Held, all)
	}
	if len(u.Projects) != 2 || u.Projects[1].Name != "shop" || u.Projects[1].Images != u.Images[1].Size || u.Projects[1].Volumes != u.Volumes[0].Size {
		t.Errorf("%+v", u.Projects)
	}
}
