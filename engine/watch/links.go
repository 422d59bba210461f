package watch

import (
	"path/filepath"
	"strings"
	"sync"
)

// links knows where paths of rules and of the model really are. A tree is
// watched without following the links in it; so a path that leads through one
// is a root of its own, and no part of the tree that its name is in.
type links struct {
	eval func(string) (string, error) // nil: there are no links

	mu   sync.Mutex
	real map[string]string // what eval said
}

func newLinks(eval func(string) (string, error)) *links {
	return &links{eval: eval, real: map[string]string{}}
}

// resolve gives the real path; of what is missing, that of the directory that
// is there with the rest.
func (l *links) resolve(path string) string {
	if l.eval == nil {
		return path
	}
	l.mu.Lock()
	real, ok := l.real[path]
	l.mu.Unlock()
	if ok {
		return real
	}
	real, err := l.eval(path)
	if err != nil {
		real = path
		if up := filepath.Dir(path); up != path {
			real = filepath.Join(l.resolve(up), filepath.Base(path))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.real[path] = real
	return real
}

// holds says whether path is in dir, and no link below dir leads to it.
func (l *links) holds(dir, path string) bool {
	rel, ok := Below(dir, path)
	return ok && l.resolve(path) == filepath.Join(l.resolve(dir), filepath.FromSlash(rel))
}

// through is the first link below dir on the way to path; "" if there is none.
func (l *links) through(dir, path string) string {
	rel, ok := Below(dir, path)
	if !ok || l.holds(dir, path) {
		return ""
	}
	at := dir
	for part := range strings.SplitSeq(rel, "/") {
		if at = filepath.Join(at, part); !l.holds(dir, at) {
			break
		}
	}
	return at
}

// part notes with each scope what is watched for the sake of others behind
// links below it.
func (l *links) part(scopes []*scope) {
	for _, s := range scopes {
		for _, o := range scopes {
			if link := l.through(s.base, o.base); link != "" {
				s.links = append(s.links, link)
			}
		}
	}
}
