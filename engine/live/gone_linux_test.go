package live

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"devstack/engine/watch"
)

func TestGone(t *testing.T) {
	dir := t.TempDir()
	g := openGone(dir + "/gone")
	note := func(image, want string, names ...string) {
		t.Helper()
		var ops []watch.Op
		for _, n := range names {
			ops = append(ops, watch.Op{Source: filepath.Join(dir, n)})
		}
		if err := g.note(image, ops); err != nil {
			t.Fatal(err)
		}
		for _, g := range []*gone{g, openGone(dir + "/gone")} {
			got := strings.ReplaceAll(strings.Join(g.of(image), " "), dir+"/", "")
			if got != want {
				t.Errorf("%s: %q, not %q", image, got, want)
			}
		}
	}
	if err := os.WriteFile(dir+"/there", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	note("one", "a d odd\n\xff", "there", "odd\n\xff", "d", "d/e", "d/e/f", "a")
	note("two", "b", "b")
	note("one", "a d odd\n\xff", "a", "d/x/y")
	if err := os.WriteFile(dir+"/a", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	note("one", "d odd\n\xff", "a")
	if err := g.retain(func(image string) bool { return image != "one" }); err != nil {
		t.Fatal(err)
	}
	note("two", "b")
	note("one", "")
}
