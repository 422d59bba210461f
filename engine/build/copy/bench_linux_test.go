package copy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"devstack/engine/build/copy"
	"devstack/engine/build/source"
)

// project is a context of 5,000 files in 250 directories.
func project(b *testing.B) string {
	dir := tree(b)
	for i := range 250 {
		d := fmt.Sprintf("%s/pkg%d/sub%d", dir, i%25, i)
		must(b, os.MkdirAll(d, 0o755))
		for j := range 20 {
			must(b, os.WriteFile(fmt.Sprintf("%s/file%d.go", d, j), []byte(strings.Repeat(fmt.Sprintf("line %d %d\n", i, j), 200)), 0o644))
		}
	}
	return dir
}

// settle waits until the cache believes the times of what was just written,
// which is when the clock has moved on.
func settle(b *testing.B, dir string) {
	for {
		var st unix.Stat_t
		must(b, unix.Stat(dir+"/pkg24/sub249/file19.go", &st))
		if time.Since(time.Unix(st.Ctim.Unix())) > 200*time.Millisecond {
			return
		}
	}
}

const usualIgnores = ".git\nnode_modules\n**/*.log\n**/.DS_Store\n*.md\n!README.md\ndist/\n**/__pycache__\n"

func BenchmarkPlan(b *testing.B) {
	for _, ignores := range []string{"", usualIgnores} {
		dir := project(b)
		if ignores != "" {
			must(b, os.WriteFile(dir+"/.dockerignore", []byte(ignores), 0o644))
		}
		settle(b, dir)
		plan := func(b *testing.B, c *source.Cache) copy.Ops {
			tr, err := source.Open(b.Context(), source.Spec{Kind: source.KindDir, Path: dir}, source.Options{Cache: c})
			must(b, err)
			defer tr.Close()
			ops, _, err := copy.Plan(b.Context(), copy.Args{Dest: "/x/", Sources: []copy.Source{{Tree: tr, Path: "."}}})
			must(b, err)
			return ops
		}
		name := fmt.Sprintf("ignore=%d/", strings.Count(ignores, "\n"))
		b.Run(name+"cold", func(b *testing.B) {
			for b.Loop() {
				plan(b, source.NewCache())
			}
		})
		b.Run(name+"cached", func(b *testing.B) {
			c := source.NewCache()
			plan(b, c)
			b.ReportAllocs()
			for b.Loop() {
				plan(b, c)
			}
		})
		b.Run(name+"stats", func(b *testing.B) { // what the kernel takes for it
			for b.Loop() {
				statAll(b, dir)
			}
		})
	}
}

func statAll(b *testing.B, dir string) {
	f, err := os.Open(dir)
	must(b, err)
	defer f.Close()
	entries, err := f.ReadDir(-1)
	must(b, err)
	for _, e := range entries {
		var st unix.Stat_t
		must(b, unix.Fstatat(int(f.Fd()), e.Name(), &st, unix.AT_SYMLINK_NOFOLLOW))
		if e.IsDir() {
			statAll(b, filepath.Join(dir, e.Name()))
		}
	}
}

func BenchmarkInto(b *testing.B) {
	dir := project(b)
	tr := open(b, dir, source.Options{})
	ops, _, err := copy.Plan(b.Context(), copy.Args{Dest: "/x/", Sources: []copy.Source{{Tree: tr, Path: "."}}})
	must(b, err)
	for b.Loop() {
		dst := tree(b)
		f, err := os.Open(dst)
		must(b, err)
		must(b, copy.Into(b.Context(), f, ops, copy.Options{Epoch: epoch()}))
		f.Close()
		b.StopTimer()
		must(b, os.RemoveAll(dst+"/x"))
		b.StartTimer()
	}
}
