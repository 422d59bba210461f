package watch

import (
	"bytes"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/moby/patternmatcher/ignorefile"

	"devstack/engine/build/ignore"
)

// scope says which paths a rule is about.
type scope struct {
	base    string   // the file or directory; of a glob, the part without wildcards
	file    bool     // base is known to be a file
	glob    *lookup  // below base; nil: everything
	parts   []string // of the glob, between slashes; nil if it has "**"
	include *patterns
	ignores []*patterns
	muted   []likeness // left out because of a feedback loop
	links   []string   // below base, that lead to what others are about
}

// patterns are those of one place: a .dockerignore or a rule's list.
type patterns struct {
	name   string // ".dockerignore", "ignore"
	root   string // what they are relative to
	lines  []string
	lookup *lookup
}

// verdict is what a rule makes of a path.
type verdict uint8

const (
	outside verdict = iota
	notGlobbed
	notIncluded
	ignored
	temporary
	muted
	matched
)

// judge says whether the rule is about a path, and which patterns ignore it.
func (s *scope) judge(p string) (verdict, *patterns) {
	rel, ok := Below(s.base, p)
	if !ok || s.behind(p) {
		return outside, nil
	}
	if s.glob != nil && (rel == "" || !s.glob.match(rel)) {
		return notGlobbed, nil
	}
	// An include of nothing but the rule's own path is everything.
	if s.include != nil && rel != "" && !s.include.lookup.match(rel) {
		return notIncluded, nil
	}
	if ephemeral(rel) {
		return temporary, nil
	}
	if slices.ContainsFunc(s.muted, func(m likeness) bool { return m.covers(p) }) {
		return muted, nil
	}
	for _, set := range s.ignores {
		if _, hit := set.match(p); hit {
			return ignored, set
		}
	}
	return matched, nil
}

// behind says whether a path is only there by a link: the link itself is all
// that the rule is about.
func (s *scope) behind(p string) bool {
	for _, link := range s.links {
		if rel, ok := Below(link, p); ok && rel != "" {
			return true
		}
	}
	return false
}

// wants says whether a path has to be looked at for the rule's sake: for a
// directory, whether something in it may.
func (s *scope) wants(p string, dir bool) bool {
	if !dir {
		v, _ := s.judge(p)
		return v == matched
	}
	if _, ok := Below(p, s.base); ok {
		return true // leads to the base, or is it
	}
	rel, ok := Below(s.base, p)
	if !ok || ephemeral(rel) {
		return false
	}
	if s.glob != nil && s.parts != nil && !s.mayGlob(rel) {
		return false
	}
	for _, set := range s.ignores {
		if rel, hit := set.match(p); hit && !set.lookup.m.MayHold(rel) {
			return false
		}
	}
	return true
}

// mayGlob says whether a directory may hold what the glob matches.
func (s *scope) mayGlob(rel string) bool {
	dirs := strings.Split(rel, "/")
	for i, d := range dirs {
		if i == len(s.parts) {
			return true // in a directory that matches as a whole
		}
		if ok, err := path.Match(s.parts[i], d); !ok && err == nil {
			return false
		}
	}
	return true
}

// Below gives p relative to root with "/", "" for root itself.
func Below(root, p string) (string, bool) {
	if !strings.HasPrefix(p, root) {
		return "", false
	}
	if len(p) == len(root) {
		return "", true
	}
	if strings.HasSuffix(root, string(filepath.Separator)) {
		return filepath.ToSlash(p[len(root):]), true
	}
	if p[len(root)] != filepath.Separator {
		return "", false
	}
	return filepath.ToSlash(p[len(root)+1:]), true
}

// ephemeral tells what editors and git leave for a moment or for themselves:
// the list is Compose's, with all of .git.
func ephemeral(rel string) bool { return ephemeralPart(rel) != "" }

// ephemeralPart is the name in a path that makes it so.
func ephemeralPart(rel string) string {
	for rel != "" {
		name, rest, _ := strings.Cut(rel, "/")
		if name == ".git" || name == ".idea" || rest == "" && temporaryName(name) {
			return name
		}
		rel = rest
	}
	return ""
}

func temporaryName(n string) bool {
	switch {
	case n == "4913", strings.HasSuffix(n, "~"): // vim
		return true
	case strings.HasPrefix(n, ".#"), len(n) > 1 && n[0] == '#' && strings.HasSuffix(n, "#"): // emacs
		return true
	case strings.HasSuffix(n, "___jb_old___"), strings.HasSuffix(n, "___jb_tmp___"): // JetBrains
		return true
	case strings.HasSuffix(n, "-go-tmp-umask"):
		return true
	}
	if n[0] != '.' {
		return false
	}
	switch path.Ext(n) {
	case ".swp", ".swo", ".swn", ".swx", ".swpx", ".kate-swp":
		return len(n) > len(path.Ext(n))
	}
	return false
}

// parsePatterns compiles a list of patterns; name and root are for messages
// and for what they are relative to. An empty list is nil.
func parsePatterns(name, root string, list []string) (*patterns, error) {
	if len(list) == 0 {
		return nil, nil
	}
	clean := make([]string, len(list))
	for i, p := range list {
		clean[i] = relative(root, p)
	}
	m, err := ignore.New(clean)
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, nil
	}
	return &patterns{name: name, root: root, lines: clean, lookup: &lookup{m: m}}, nil
}

// relative makes a pattern what the matcher takes: relative to the root.
func relative(root, p string) string {
	not := ""
	if strings.HasPrefix(p, "!") {
		not, p = "!", p[1:]
	}
	if filepath.IsAbs(p) {
		if rel, ok := Below(root, filepath.Clean(p)); ok && rel != "" {
			p = rel
		}
	}
	return not + p
}

// parseIgnoreFile is parsePatterns for the text of a .dockerignore.
func parseIgnoreFile(name, root string, text []byte) (*patterns, error) {
	m, err := ignore.Parse(name, text)
	if err != nil || m == nil {
		return nil, err
	}
	lines := strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
	return &patterns{name: name, root: root, lines: lines, lookup: &lookup{m: m}}, nil
}

// match says whether the patterns are about a path, which it gives relative to
// their root.
func (p *patterns) match(path string) (rel string, hit bool) {
	rel, ok := Below(p.root, path)
	return rel, ok && rel != "" && p.lookup.match(rel)
}

// cause names the line that decides about a path: "pattern \"x\" in line 3".
func (p *patterns) cause(rel string) string {
	found := ""
	for i, line := range p.lines {
		list, err := ignorefile.ReadAll(bytes.NewReader([]byte(line)))
		if err != nil || len(list) != 1 || strings.HasPrefix(list[0], "!") {
			continue
		}
		m, err := ignore.New(list)
		if err != nil {
			continue
		}
		if hit, err := m.Ignores(rel); err == nil && hit {
			found = fmt.Sprintf("line %d, %q", i+1, strings.TrimSpace(line))
			if !strings.Contains(p.name, "/") { // a list in the rule
				found = fmt.Sprintf("%q", strings.TrimSpace(line))
			}
		}
	}
	return found
}

// lookup matches paths in any order, and quickly in the order of a walk: it
// remembers what it found for the directories of the last path.
type lookup struct {
	m *ignore.Matcher

	mu   sync.Mutex
	dirs []lookedUp
}

type lookedUp struct {
	path  string
	state ignore.State
}

func (l *lookup) match(rel string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for n < len(l.dirs) && strings.HasPrefix(rel, l.dirs[n].path) && len(rel) > len(l.dirs[n].path) && rel[len(l.dirs[n].path)] == '/' {
		n++
	}
	l.dirs = l.dirs[:n]
	var state ignore.State
	at := 0
	if n > 0 {
		state, at = l.dirs[n-1].state, len(l.dirs[n-1].path)+1
	}
	for {
		i := strings.IndexByte(rel[at:], '/')
		if i < 0 {
			break
		}
		dir := rel[:at+i]
		_, s, err := l.m.Match(dir, state)
		if err != nil {
			return false // checked when it was compiled
		}
		state = s
		l.dirs = append(l.dirs, lookedUp{dir, s})
		at += i + 1
	}
	hit, _, err := l.m.Match(rel, state)
	return err == nil && hit
}
