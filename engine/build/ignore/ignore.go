package ignore

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// FileName is the ignore file at the root of a context.
const FileName = ".dockerignore"

// MaxSize bounds an ignore file.
const MaxSize = 4 << 20

// Candidates are the files that may hold the patterns for a Dockerfile, the
// first that exists counting: the Dockerfile's own, beside it, then the
// context's.
func Candidates(dockerfile string) []string {
	if dockerfile == "" {
		return []string{FileName}
	}
	return []string{dockerfile + FileName, FileName}
}

// Matcher holds compiled patterns. A nil Matcher ignores nothing. It may be
// used by several goroutines.
type Matcher struct {
	mu         sync.Mutex // the patterns compile themselves when first used
	patterns   *patternmatcher.PatternMatcher
	exceptions []string // literal leading directories of the "!" patterns
	hints      []hint
}

// hint tells cheaply of most paths that a pattern does not match them: the
// library takes a regular expression for every path and pattern, which would
// cost a build more than looking at its files does.
type hint struct {
	depth      int // how many parts a path must have; 0: any number
	head, tail string
}

func hintOf(pattern string) hint {
	h := hint{}
	if !utf8.ValidString(pattern) || strings.ContainsAny(pattern, "|{}\ufffd\ufeff") {
		return h // the library makes something else of those
	}
	if !strings.Contains(pattern, "**") && !strings.ContainsAny(pattern, `[\`) { // a class may match "/"
		h.depth = strings.Count(pattern, "/") + 1
	}
	const wild = `*?[]\^`
	if i := strings.IndexAny(pattern, wild); i < 0 {
		h.head = pattern
	} else {
		h.head = strings.TrimSuffix(pattern[:i], "/") // "a/**" may match "a"
	}
	h.tail = strings.TrimPrefix(pattern[strings.LastIndexAny(pattern, wild)+1:], "/")
	return h
}

func (h hint) mayMatch(path string) bool {
	return strings.HasSuffix(path, h.tail) && strings.HasPrefix(path, h.head) && (h.depth == 0 || strings.Count(path, "/") == h.depth-1)
}

// State is what matching a directory leaves for its children. Its zero value
// says that no pattern matches the directory or one above it: that of the
// root's entries.
type State struct {
	info patternmatcher.MatchInfo
	set  bool
}

// Parse reads an ignore file; name is for its errors, which give the line.
func Parse(name string, text []byte) (*Matcher, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("%s: larger than %d MiB", name, MaxSize>>20)
	}
	var all []string
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	n := 0
	for lines.Scan() {
		n++
		line := lines.Bytes()
		if n > 1 && bytes.HasPrefix(line, []byte("\xef\xbb\xbf")) {
			line = append([]byte(" "), line...) // a mark of byte order is one on the first line only
		}
		patterns, err := ignorefile.ReadAll(bytes.NewReader(line))
		if err == nil {
			err = check(patterns)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: pattern %q: %w", name, n, lines.Text(), err)
		}
		all = append(all, patterns...)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, n+1, err)
	}
	return compile(all)
}

// New compiles patterns, as of a --exclude.
func New(patterns []string) (*Matcher, error) {
	for _, p := range patterns {
		if err := check([]string{p}); err != nil {
			return nil, fmt.Errorf("pattern %q: %w", p, err)
		}
	}
	return compile(patterns)
}

// check finds what is wrong with one pattern before many are compiled, so
// that the error can name it.
func check(patterns []string) error {
	for _, p := range patterns {
		if strings.ContainsRune(p, 0) {
			return errors.New("has a zero byte")
		}
		bare := strings.TrimPrefix(strings.TrimSpace(p), "!")
		if bare == "" && strings.TrimSpace(p) == "" {
			continue
		}
		if bare == "" {
			return errors.New("\"!\" excepts nothing: a pattern must follow it")
		}
		pm, err := patternmatcher.New([]string{bare})
		if err == nil {
			_, err = pm.MatchesOrParentMatches("a/b") // compiles it
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func compile(patterns []string) (*Matcher, error) {
	pm, err := patternmatcher.New(patterns)
	if err != nil {
		return nil, err
	}
	if len(pm.Patterns()) == 0 {
		return nil, nil
	}
	m := &Matcher{patterns: pm}
	for _, p := range pm.Patterns() {
		m.hints = append(m.hints, hintOf(filepath.ToSlash(p.String())))
		if p.Exclusion() {
			m.exceptions = append(m.exceptions, literalDir(p.String()))
		}
	}
	return m, nil
}

// literalDir is the leading part of a pattern that means only itself; "" if
// its first part is wild.
func literalDir(pattern string) string {
	parts := strings.Split(filepath.ToSlash(pattern), "/")
	for i, part := range parts {
		if strings.ContainsAny(part, `*?[]\^`) {
			return strings.Join(parts[:i], "/")
		}
	}
	return strings.Join(parts, "/")
}

// Match says whether path, relative to the context and clean, is ignored.
// parent is the state of its directory, state is for what path holds.
func (m *Matcher) Match(path string, parent State) (ignored bool, state State, err error) {
	if m == nil || !parent.set && !m.mayMatch(path) {
		return false, State{}, nil
	}
	return m.match(path, parent)
}

func (m *Matcher) mayMatch(path string) bool {
	for _, h := range m.hints {
		if h.mayMatch(path) {
			return true
		}
	}
	return false
}

func (m *Matcher) match(path string, parent State) (ignored bool, state State, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ignored, info, err := m.patterns.MatchesUsingParentResults(filepath.FromSlash(path), parent.info)
	if err != nil {
		return false, State{}, fmt.Errorf("match %q against the ignore patterns: %w", path, err)
	}
	return ignored, State{info, true}, nil
}

// Ignores is Match for one path by itself.
func (m *Matcher) Ignores(p string) (bool, error) {
	p = strings.TrimPrefix(path.Clean("/"+p), "/")
	if p == "" || m == nil {
		return false, nil
	}
	ignored, _, err := m.match(p, State{})
	return ignored, err
}

// MayHold says whether an ignored directory may hold something that is not:
// whether it must be looked into.
func (m *Matcher) MayHold(dir string) bool {
	if m == nil {
		return true
	}
	for _, e := range m.exceptions {
		if e == "" || e == dir || strings.HasPrefix(e, dir+"/") || strings.HasPrefix(dir, e+"/") {
			return true
		}
	}
	return false
}
