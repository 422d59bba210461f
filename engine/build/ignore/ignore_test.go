package ignore_test

import (
	"strings"
	"testing"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"devstack/engine/build/ignore"
)

func TestMatch(t *testing.T) {
	m, err := ignore.Parse(".dockerignore", []byte("\xef\xbb\xbf# comment\n  *.log \n/build/\n!build/keep\n**/tmp*\ndocs/**/*.md\n!docs/README.md\n\\!odd\n"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"a.log": true, "d/a.log": false, "build": true, "build/x": true, "build/keep": false, "build/keep/x": false, "d/e/tmp1": true,
		"docs/x.md": true, "docs/a/b/x.md": true, "docs/README.md": false, "src/main.go": false, "!odd": true, "# comment": false,
	} {
		if got, err := m.Ignores(path); err != nil || got != want {
			t.Errorf("%s: %v, %v", path, got, err)
		}
	}
	for dir, want := range map[string]bool{"build": true, "build/keep": true, "build/keep/x": true, "build/other": false, "docs": true, "node_modules": false} {
		if got := m.MayHold(dir); got != want {
			t.Errorf("%s may hold exceptions: %v", dir, got)
		}
	}
}

func TestBadPatternsNameTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"ok\na[\n":   `.dockerignore:2: pattern "a[": syntax error in pattern`,
		"!\n":        `.dockerignore:1: pattern "!": "!" excepts nothing`,
		"# x\n\n\\":  `.dockerignore:3: pattern "\\": syntax error in pattern`,
		"a\x00b":     `.dockerignore:1: pattern "a\x00b": has a zero byte`,
		"x\n[b-a]\n": `.dockerignore:2: pattern "[b-a]"`,
	} {
		if _, err := ignore.Parse(".dockerignore", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v\nwant %s", text, err, want)
		}
	}
}

// FuzzMatch compares with the library used as its authors do, whole path by
// whole path, and checks that a directory that is not looked into hides
// nothing.
func FuzzMatch(f *testing.F) {
	f.Add("*.log\n!a/b.log\n", "a/b.log")
	f.Add("**\n!**/*.go\n!docs", "docs/x/main.go")
	f.Add("a/*/c\n!a/b\n", "a/b/c/d")
	f.Add("[^x]\n\\*\n!?", "*")
	f.Fuzz(func(t *testing.T, text, path string) {
		m, err := ignore.Parse("x", []byte(text))
		if err != nil {
			return
		}
		path = strings.Trim(path, "/")
		if path == "" || strings.Contains(path, "//") || strings.ContainsAny(path, "\x00\n") || strings.HasPrefix(path, ".") || strings.Contains(path, "/.") {
			return
		}
		patterns, err := ignorefile.ReadAll(strings.NewReader(text))
		if err != nil {
			return
		}
		want, err := patternmatcher.MatchesOrParentMatches(path, patterns)
		if err != nil {
			return
		}
		pm, err := patternmatcher.New(patterns)
		if err != nil {
			return
		}
		var state ignore.State
		var theirs patternmatcher.MatchInfo
		var got, unreachable bool
		parts := strings.Split(path, "/")
		for i := range parts {
			dir := strings.Join(parts[:i+1], "/")
			if got, state, err = m.Match(dir, state); err != nil {
				t.Fatal(err)
			}
			ref, info, err := pm.MatchesUsingParentResults(dir, theirs)
			if err != nil || ref != got {
				t.Fatalf("%q of %q, part by part: %v, the library says %v", dir, text, got, ref)
			}
			theirs = info
			if got && i < len(parts)-1 && !m.MayHold(dir) {
				unreachable = true
			}
		}
		if unreachable && !got {
			t.Errorf("%q of %q is not ignored but lies in a directory that is not looked into", path, text)
		}
		whole, err := m.Ignores(path)
		if err != nil || whole != want {
			t.Errorf("%q of %q: %v %v, the library says %v", path, text, whole, err, want)
		}
	})
}
