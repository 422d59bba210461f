package watch

import (
	"path/filepath"
	"slices"
	"strings"
)

// likeness is a set of paths that a service may write in turn: one path, or
// those in a directory with names that differ in numbers only, or all in a
// directory.
type likeness struct {
	dir  string
	name string // with "*" for what differs, if alike is set; "" for all
	kind likeKind
}

type likeKind uint8

const (
	onePath likeKind = iota
	alike
	anyIn
)

// likenesses are the sets that a path is in, the smallest first.
func likenesses(path string) []likeness {
	dir, name := filepath.Dir(path), filepath.Base(path)
	out := []likeness{{dir, name, onePath}}
	if n := numberless(name); n != name {
		out = append(out, likeness{dir, n, alike})
	}
	return append(out, likeness{dir: dir, kind: anyIn})
}

// rounds is how many rounds in a row are suspect.
func (l likeness) rounds() int {
	if l.kind == anyIn {
		return 2 * suspectAfter
	}
	return suspectAfter
}

// covers says whether a path, or what it is in, is in the set.
func (l likeness) covers(path string) bool {
	rel, ok := Below(l.dir, path)
	if !ok || rel == "" {
		return false
	}
	name, _, _ := strings.Cut(rel, "/")
	switch l.kind {
	case anyIn:
		return true
	case alike:
		return numberless(name) == l.name
	}
	return name == l.name
}

// String is the set as a path, with "*" for what differs.
func (l likeness) String() string {
	if l.kind == anyIn {
		return filepath.Join(l.dir, "*")
	}
	return filepath.Join(l.dir, l.name)
}

// numberless is a name with "*" for numbers, and for words with numbers in
// them that are long enough to be made up.
func numberless(name string) string {
	var b strings.Builder
	for name != "" {
		n := strings.IndexFunc(name, func(r rune) bool { return !alphanumeric(r) })
		if n < 0 {
			n = len(name)
		}
		word := name[:n]
		digits := strings.Count(strings.Map(digit, word), "0")
		if digits > 0 && (digits == n || n >= 6) {
			word = "*"
		}
		b.WriteString(word)
		rest := strings.TrimLeftFunc(name[n:], func(r rune) bool { return !alphanumeric(r) })
		b.WriteString(name[n : len(name)-len(rest)])
		name = rest
	}
	return b.String()
}

func alphanumeric(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// digit makes every digit a "0" and drops everything else.
func digit(r rune) rune {
	if r >= '0' && r <= '9' {
		return '0'
	}
	return -1
}

// Mute is the rules without what makes a feedback loop, for its service.
func (r *Rules) Mute(l Loop) *Rules {
	out := &Rules{rules: slices.Clone(r.rules), model: r.model, links: r.links}
	for i, x := range out.rules {
		if x.Service == l.Service {
			muted := *x
			muted.scope.muted = append(slices.Clip(muted.scope.muted), l.what)
			out.rules[i] = &muted
		}
	}
	return out
}
