package snapshot

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"devstack/engine/image"
	"devstack/engine/image/fetch"
	"devstack/engine/image/imagetest"
	"devstack/engine/image/store"
)

const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func makeImage(t testing.TB, root string, layers ...map[string]string) image.Image {
	t.Helper()
	s, err := store.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var tars []imagetest.Layer
	for _, l := range layers {
		tars = append(tars, imagetest.Files(t, l))
	}
	ref := imagetest.SaveOCI(t, filepath.Join(t.TempDir(), "img"), "", imagetest.New(t, image.Config{}, tars...))
	img, err := fetch.Ensure(t.Context(), s, ref, fetch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// inside opens a view's tree by path.
func inside(t testing.TB, view *os.File) *os.Root {
	t.Helper()
	r, err := os.OpenRoot("/proc/self/fd/" + strconv.Itoa(int(view.Fd())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); view.Close() })
	return r
}

func TestLifeOfASnapshot(t *testing.T) {
	root := imagetest.TempDir(t)
	img := makeImage(t, root, map[string]string{"a": "1", "b": "1"}, map[string]string{".wh.a": "", "c": "2"})
	s, err := Prepare(root, id, img, 0)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{img.Layers[1].Dir, img.Layers[0].Dir}; !slices.Equal(s.Lower, want) {
		t.Errorf("lowers are %v, want %v", s.Lower, want)
	}
	view, err := ViewSnapshot(s, true)
	if err != nil {
		t.Fatal(err)
	}
	tree := inside(t, view)
	if err := tree.WriteFile("d", []byte("3"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := tree.Remove("b"); err != nil {
		t.Fatal(err)
	}
	tree.Close()
	view.Close()
	again, err := Open(root, id, img)
	if err != nil || cmp.Diff(s, again) != "" {
		t.Fatal(err, cmp.Diff(s, again))
	}
	if s, err := Prepare(root, id, img, 0); err != nil || cmp.Diff(s, again) != "" {
		t.Fatal("prepared again:", err, cmp.Diff(s, again))
	}
	view, err = ViewSnapshot(again, false)
	if err != nil {
		t.Fatal(err)
	}
	tree = inside(t, view)
	names, err := tree.FS().(interface {
		ReadDir(string) ([]os.DirEntry, error)
	}).ReadDir(".")
	if err != nil || len(names) != 2 || names[0].Name() != "c" || names[1].Name() != "d" {
		t.Errorf("it holds %v, %v", names, err)
	}
	if err := tree.WriteFile("x", nil, 0o644); !errors.Is(err, syscall.EROFS) {
		t.Errorf("writing to a read-only view: %v", err)
	}
	tree.Close()
	view.Close()
	if err := Remove(root, id); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Dir(s.Upper)); !errors.Is(err, os.ErrNotExist) {
		t.Error("directory of the container is left")
	}
	if err := Remove(root, id); err != nil {
		t.Errorf("removing twice: %v", err)
	}
	if _, err := Open(root, id, img); err == nil {
		t.Error("a removed snapshot opens")
	}
	if b, _ := os.ReadFile(filepath.Join(img.Layers[0].Dir, "b")); string(b) != "1" {
		t.Error("the layer was written to")
	}
}

func TestViewOfOneLayerAndOfNone(t *testing.T) {
	root := imagetest.TempDir(t)
	for _, layers := range [][]map[string]string{{{"a": "1"}}, {}} {
		view, err := View(root, makeImage(t, root, layers...))
		if err != nil {
			t.Fatal(err)
		}
		names, err := view.Readdirnames(-1)
		if err != nil || len(names) != len(layers) {
			t.Errorf("%v, %v", names, err)
		}
		view.Close()
	}
}

func TestRemoveKeepsTheLogAndSweepRemovesStrangers(t *testing.T) {
	root := imagetest.TempDir(t)
	img := image.Image{Root: imagetest.TempDir(t)}
	for _, id := range []string{"aaaa", "bbbb", "cccc"} {
		if _, err := Prepare(root, id, img, 0); err != nil {
			t.Fatal(err)
		}
	}
	log := filepath.Join(root, "containers/aaaa/log")
	if err := os.Mkdir(log, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Remove(root, "aaaa"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(log); err != nil {
		t.Error("the log went too")
	}
	// What a crash in the middle of a removal leaves.
	trash := filepath.Join(root, "containers", trashName)
	if err := os.MkdirAll(filepath.Join(trash, "dddd.upper/x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Sweep(root, func(id string) bool { return id == "bbbb" || id == "aaaa" }); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(root + "/containers/[a-z]*")
	trashed, _ := os.ReadDir(trash)
	if len(left) != 2 || len(trashed) != 0 {
		t.Errorf("left: %v, %v", left, trashed)
	}
	for _, bad := range []string{"", "..", "../x", "a/b", ".trash"} {
		if _, err := Prepare(root, bad, img, 0); err == nil {
			t.Errorf("%q is taken for a container", bad)
		}
		if err := Remove(root, bad); err == nil {
			t.Errorf("%q is removed", bad)
		}
	}
}

// TestRemoveFollowsNothing fills an upper directory with ways out.
func TestRemoveFollowsNothing(t *testing.T) {
	root := imagetest.TempDir(t)
	precious := filepath.Join(root, "precious")
	if err := os.MkdirAll(precious+"/sub", 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := Prepare(root, id, image.Image{Root: precious}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"abs": precious, "rel": "../../../precious", "proc": "/proc/self/root"} {
		if err := os.Symlink(target, filepath.Join(s.Upper, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(s.Work+"/work", 0); err != nil { // as overlayfs leaves it
		t.Fatal(err)
	}
	if err := Remove(root, id); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(precious + "/sub"); err != nil {
		t.Error("it was followed out")
	}
}

func TestRootHidesTheDataRoot(t *testing.T) {
	host := imagetest.TempDir(t)
	data := filepath.Join(host, "var/lib/devstack")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(host, "var"), 0o751); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(host, "var/lib/file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	img := image.Image{Root: host}
	s, err := Prepare(data, id, img, 0)
	if err != nil {
		t.Fatal(err)
	}
	if s.Lower[len(s.Lower)-1] != host {
		t.Errorf("the last lower is %v", s.Lower)
	}
	view, err := ViewSnapshot(s, false)
	if err != nil {
		t.Fatal(err)
	}
	tree := inside(t, view)
	if _, err := tree.Lstat("var/lib/devstack"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data root shows: %v", err)
	}
	if b, err := tree.ReadFile("var/lib/file"); err != nil || string(b) != "x" {
		t.Errorf("its neighbour: %q, %v", b, err)
	}
	if fi, err := tree.Stat("var"); err != nil || fi.Mode().Perm() != 0o751 {
		t.Errorf("var: %v, %v", fi, err)
	}
}

// TestSubmounts runs in a mount namespace of its own.
func TestSubmounts(t *testing.T) {
	if !imagetest.OwnMounts(t) {
		return
	}
	root := t.TempDir()
	data := filepath.Join(root, "data")
	mount := func(rel, kind string) {
		t.Helper()
		dir := filepath.Join(root, rel)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("none", dir, kind, 0, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	}
	for _, rel := range []string{"srv", "srv/deep", "with blank", "run/x", "tmp", "data/volumes", "hidden/below"} {
		mount(rel, "tmpfs")
	}
	mount("proc", "proc")
	mount("etc/proc", "proc")
	mount("hidden", "tmpfs") // over hidden/below
	got, err := submountsOf(root, data)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{root + "/hidden", root + "/srv", root + "/srv/deep", root + "/with blank"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestParseMounts(t *testing.T) {
	const text = `36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 - ext3 /dev/root rw
bad line
37 35 0:5 / / rw - overlay overlay rw
`
	got, err := parseMounts(strings.NewReader(text))
	if err != nil || len(got) != 2 || got[0] != (mount{36, "/mnt 2", "ext3"}) || got[1].point != "/" {
		t.Errorf("%+v, %v", got, err)
	}
}

func BenchmarkPrepareRemove(b *testing.B) {
	root := imagetest.TempDir(b)
	img := image.Image{Root: "/"}
	for b.Loop() {
		if _, err := Prepare(root, id, img, 0); err != nil {
			b.Fatal(err)
		}
		if err := Remove(root, id); err != nil {
			b.Fatal(err)
		}
	}
}

// TestSub follows a path through layers: a whiteout and an opaque directory end
// what lower layers have to say.
func TestSub(t *testing.T) {
	root := t.TempDir()
	img := makeImage(t, root,
		map[string]string{"srv/data/low": "1", "srv/gone/x": "1", "srv/own/low": "1", "etc/f": "1"},
		map[string]string{"srv/data/high": "2", "srv/.wh.gone": "", "srv/own/.wh..wh..opq": "", "srv/own/high": "2"},
	)
	for _, c := range []struct {
		sub   string
		dirs  int
		fault string
	}{
		{"", 2, ""},
		{"srv/data", 2, ""},
		{"/srv/../srv/data/", 2, ""},
		{"srv/own", 1, ""},
		{"etc", 1, ""},
		{"srv/gone", 0, "has no directory srv/gone"},
		{"etc/f", 0, "f is not a directory"},
		{"nowhere", 0, "has no directory nowhere"},
	} {
		dirs, err := Sub(root, img, c.sub)
		if c.fault == "" && err != nil || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("%q: error %v, want %q", c.sub, err, c.fault)
		}
		if len(dirs) != c.dirs {
			t.Errorf("%q: %q, want %d directories", c.sub, dirs, c.dirs)
		}
	}
}
