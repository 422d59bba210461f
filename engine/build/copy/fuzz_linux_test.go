package copy_test

import (
	"os"
	"path"
	"strings"
	"testing"

	"devstack/engine/build/copy"
	"devstack/engine/build/source"
	"devstack/engine/image/imagetest"
)

// FuzzPlan plans and copies with whatever arguments: nothing outside may
// change, what is excluded may not arrive, and planning twice gives one key.
func FuzzPlan(f *testing.F) {
	f.Add("d/*.go", "/x/", "", false)
	f.Add("/./**/b", "../..", "*", true)
	f.Add("l/../[^a]*", "link/y", "!d\nd/b", false)
	f.Add("d/./c/?", "/link/", "**/e", true)
	outside := imagetest.TempDir(f)
	src := tree(f, "a.go=1", "d/b=2", "d/c/e=3", "l=-> d", "out=-> "+outside, "up=-> ../../..", "d/self=-> ../d", "[x]=4", "!y=5", "secret=s", ".dockerignore=secret")
	tr, err := source.Open(f.Context(), source.Spec{Kind: source.KindDir, Path: src}, source.Options{})
	must(f, err)
	f.Cleanup(func() { tr.Close() })
	base := imagetest.TempDir(f)
	f.Fuzz(func(t *testing.T, from, to, exclude string, parents bool) {
		dst := path.Join(base, "dst")
		must(t, os.Mkdir(dst, 0o755))
		defer os.RemoveAll(dst)
		add(t, dst, "link=-> "+outside, "up=-> ../../../..", "x/f=old")
		a := copy.Args{Dest: to, Workdir: "/work", Parents: parents, Exclude: strings.Split(exclude, "\n"), Sources: []copy.Source{{Tree: tr, Path: from}}}
		ops, key, err := copy.Plan(t.Context(), a)
		if err != nil {
			return
		}
		if _, again, err := copy.Plan(t.Context(), a); err != nil || again != key {
			t.Fatalf("%v: the key changes: %v", a, err)
		}
		r, err := os.Open(dst)
		must(t, err)
		defer r.Close()
		copyErr := copy.Into(t.Context(), r, ops, copy.Options{})
		if left, _ := os.ReadDir(outside); len(left) != 0 {
			t.Fatalf("%v wrote outside: %v (%v)", a, left, copyErr)
		}
		for _, file := range list(t, dst) {
			if strings.HasSuffix(file, "secret=s") {
				t.Fatalf("%v copied what is ignored: %s", a, file)
			}
		}
	})
}
