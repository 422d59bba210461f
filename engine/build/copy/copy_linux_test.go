package copy_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"devstack/engine/build/copy"
	"devstack/engine/build/source"
	"devstack/engine/image/imagetest"
)

// epoch is the time of everything in these tests.
func epoch() time.Time { return time.Unix(1_600_000_000, 0) }

// tree writes files: a name ending in "/" is a directory, "-> x" a link.
func tree(t testing.TB, files ...string) string {
	t.Helper()
	dir := imagetest.TempDir(t)
	add(t, dir, files...)
	return dir
}

func add(t testing.TB, dir string, files ...string) {
	t.Helper()
	for _, f := range files {
		name, content, _ := strings.Cut(f, "=")
		p := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		switch {
		case strings.HasSuffix(name, "/"):
			must(t, os.MkdirAll(p, 0o755))
		case strings.HasPrefix(content, "-> "):
			must(t, os.Symlink(content[3:], p))
		default:
			must(t, os.WriteFile(p, []byte(content), 0o644))
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, dir string, o source.Options) *source.Tree {
	t.Helper()
	tr, err := source.Open(t.Context(), source.Spec{Kind: source.KindDir, Path: dir}, o)
	must(t, err)
	t.Cleanup(func() { tr.Close() })
	return tr
}

func root(t testing.TB, dir string) *os.File {
	t.Helper()
	f, err := os.Open(dir)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// run is COPY written as in a Dockerfile, with --parents, --exclude= and
// --unpack among the arguments.
func run(t testing.TB, tr *source.Tree, dst string, o copy.Options, line string) error {
	t.Helper()
	a := copy.Args{Workdir: "/work"}
	words := strings.Fields(line)
	for _, w := range words {
		value, isExclude := strings.CutPrefix(w, "--exclude=")
		switch {
		case w == "--parents":
			a.Parents = true
		case w == "--unpack":
			a.Unpack = true
		case w == "--link":
			o.Link = true
		case isExclude:
			a.Exclude = append(a.Exclude, value)
		case strings.HasPrefix(w, "--chown="):
			o.Chown = w[8:]
		case strings.HasPrefix(w, "--chmod="):
			o.Chmod = w[8:]
		default:
			a.Sources = append(a.Sources, copy.Source{Tree: tr, Path: w})
		}
	}
	n := len(a.Sources) - 1
	a.Dest, a.Sources = a.Sources[n].Path, a.Sources[:n]
	ops, _, err := copy.Plan(t.Context(), a)
	if err != nil {
		return err
	}
	return copy.Into(t.Context(), root(t, dst), ops, o)
}

// list is a tree as text: "name=content", directories end in "/".
func list(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		name := strings.TrimPrefix(p, dir+"/")
		switch {
		case d.IsDir():
			entries, err := os.ReadDir(p)
			if len(entries) == 0 {
				out = append(out, name+"/")
			}
			return err
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(p)
			out = append(out, name+"=-> "+target)
			return err
		case d.Type() != 0:
			out = append(out, fmt.Sprintf("%s (%v)", name, d.Type()))
			return nil
		}
		data, err := os.ReadFile(p)
		out = append(out, name+"="+string(data))
		return err
	}))
	slices.Sort(out)
	return out
}

func lstat(t testing.TB, p string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(p, &st); err != nil {
		t.Fatalf("lstat %s: %v", p, err)
	}
	return st
}

func TestWhereThingsGo(t *testing.T) {
	context := []string{
		"foo.go=foo", "bar.go=bar", "sub/dir1/dir2/foo=deep", "sub/l0=-> subfile", "sub/subfile=s", "sub/l1=-> second",
		"sub/second=-> baz", "sub/baz=b", "linkdir=-> sub", "top=-> foo.go", "empty/", "docs/a.md=a", "docs/x/b.md=b", "docs/x/c.txt=c",
		"x=1", "y/x=2",
	}
	tests := []struct {
		name  string
		has   []string // in the destination before
		lines []string
		want  []string
	}{
		{"file to file", nil, []string{"foo.go /a/b"}, []string{"a/b=foo"}},
		{"file to directory", nil, []string{"foo.go /a/b/"}, []string{"a/b/foo.go=foo"}},
		{"file to existing directory", []string{"a/"}, []string{"foo.go /a"}, []string{"a/foo.go=foo"}},
		{"file over file", []string{"a=old"}, []string{"foo.go /a"}, []string{"a=foo"}},
		{"relative destination", nil, []string{"foo.go ."}, []string{"work/foo.go=foo"}},
		{"up and out", nil, []string{"foo.go ../../../../out"}, []string{"out=foo"}},
		{"wildcard", nil, []string{"*.go /g/"}, []string{"g/bar.go=bar", "g/foo.go=foo"}},
		{"wildcard to a file", nil, []string{"f*.go foo2.go"}, []string{"work/foo2.go=foo"}},
		{"wildcard of directories", nil, []string{"sub/d* /d/"}, []string{"d/dir2/foo=deep"}},
		{"wildcard in the middle", nil, []string{"sub/*/dir2/foo /m/", "sub/*/dir2/foo /n/bar"}, []string{"m/foo=deep", "n/bar=deep"}},
		{"two stars are one", nil, []string{"**/foo /m/", "**/baz /n/"}, []string{"n/baz=b"}},
		{"a class", nil, []string{"[fb]*.g[a-z] /c/"}, []string{"c/bar.go=bar", "c/foo.go=foo"}},
		{"no match", nil, []string{"*.nothing /n/"}, nil},
		{"directory", nil, []string{"sub/dir1 /d"}, []string{"d/dir2/foo=deep"}},
		{"directory with a slash", nil, []string{"sub/dir1/ /d"}, []string{"d/dir2/foo=deep"}},
		{"directory with a dot", nil, []string{"sub/dir1/. /d"}, []string{"d/dir2/foo=deep"}},
		{"empty directory", nil, []string{"empty /e"}, []string{"e/"}},
		{"merge", []string{"d/dir2/foo=old", "d/dir2/keep=k"}, []string{"sub/dir1 /d/"}, []string{"d/dir2/foo=deep", "d/dir2/keep=k"}},
		{"links are sources", nil, []string{"top /t", "sub/l* /l/"}, []string{"l/l0=s", "l/l1=b", "t=foo"}},
		{"links inside stay", nil, []string{"sub /s"}, []string{"s/baz=b", "s/dir1/dir2/foo=deep", "s/l0=-> subfile", "s/l1=-> second", "s/second=-> baz", "s/subfile=s"}},
		{"through a link", nil, []string{"linkdir/baz /b", "linkdir /d"}, []string{"b=b", "d/baz=b", "d/dir1/dir2/foo=deep", "d/l0=-> subfile", "d/l1=-> second", "d/second=-> baz", "d/subfile=s"}},
		{"out of the context is its top", nil, []string{"../../foo.go /f", "/bar.go /b"}, []string{"b=bar", "f=foo"}},
		{"later wins", nil, []string{"x y/x /d/"}, []string{"d/x=2"}},
		{"parents", nil, []string{"--parents x y/x docs/x/b.md /p/"}, []string{"p/docs/x/b.md=b", "p/x=1", "p/y/x=2"}},
		{"parents of a directory", nil, []string{"--parents sub/dir1 /p"}, []string{"p/sub/dir1/dir2/foo=deep"}},
		{"pivot", nil, []string{"--parents sub/./dir1/dir2 /p/"}, []string{"p/dir1/dir2/foo=deep"}},
		{"pivot and dot", nil, []string{"--parents ./sub/dir1/. /p/"}, []string{"p/sub/dir1/dir2/foo=deep"}},
		{"two pivots", nil, []string{"--parents sub/./dir1/./dir2 /p/"}, []string{"p/dir1/dir2/foo=deep"}},
		{"parents of any depth", nil, []string{"--parents docs/**/*.md /p/"}, []string{"p/docs/a.md=a", "p/docs/x/b.md=b"}},
		{"wild pivot", nil, []string{"--parents */./x/*.md /p/"}, []string{"p/x/b.md=b"}},
		{"parents without a match", nil, []string{"--parents no*/thing /p/"}, []string{"p/"}},
		{"exclude", nil, []string{"--exclude=**/*.md docs /d"}, []string{"d/x/c.txt=c"}},
		{"exclude one level", nil, []string{"--exclude=*.md docs /d"}, []string{"d/x/b.md=b", "d/x/c.txt=c"}},
		{"exclude and except", nil, []string{"--exclude=x --exclude=!x/c.txt docs /d"}, []string{"d/a.md=a", "d/x/c.txt=c"}},
		{"exclude what is named", nil, []string{"--exclude=foo* *.go /d/"}, []string{"d/bar.go=bar"}},
		{"exclude everything", nil, []string{"--exclude=* docs /d"}, []string{"d/"}},
		{"parents, all excluded", nil, []string{"--parents --exclude=docs docs/a.md /p/"}, []string{"p/"}},
		{"parents and exclude", nil, []string{"--parents --exclude=docs/x docs/**/*.md /p/"}, []string{"p/docs/a.md=a"}},
		{"destination through a link", []string{"real/", "to=-> real"}, []string{"foo.go /to/", "bar.go /to"}, []string{"real/bar.go=bar", "real/foo.go=foo", "to=-> real"}},
		{"destination is a link to a file", []string{"real=old", "to=-> real"}, []string{"foo.go /to"}, []string{"real=foo", "to=-> real"}},
		{"destination through a link to nothing", []string{"to=-> /made/here"}, []string{"foo.go /to/"}, []string{"made/here/foo.go=foo", "to=-> /made/here"}},
		{"linked layer", []string{"real/", "to=-> real"}, []string{"--link foo.go /to/"}, []string{"real/", "to/foo.go=foo"}},
		{"linked file over directory", []string{"to/x=1"}, []string{"--link foo.go /to/x/y"}, []string{"to/x/y=foo"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			src := tree(t, context...)
			dst := tree(t, test.has...)
			for _, line := range test.lines {
				must(t, run(t, open(t, src, source.Options{}), dst, copy.Options{Epoch: epoch()}, line))
			}
			if got := list(t, dst); !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}
