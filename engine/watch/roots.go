package watch

import (
	"cmp"
	"path/filepath"
	"slices"
)

// Roots are what has to be watched for the rules and the model: no root is
// within another.
func (r *Rules) Roots() []Root {
	scopes := make([]*scope, 0, len(r.rules)+len(r.model))
	for _, x := range r.rules {
		scopes = append(scopes, &x.scope)
	}
	for _, f := range r.model {
		scopes = append(scopes, &scope{base: f.Path})
	}
	slices.SortStableFunc(scopes, func(a, b *scope) int { return cmp.Compare(key(a.base), key(b.base)) })
	var out []Root
	for i := 0; i < len(scopes); {
		top := scopes[i].base
		n := i + 1
		for n < len(scopes) {
			if _, ok := below(top, scopes[n].base); !ok {
				break
			}
			n++
		}
		out = append(out, Root{Path: top, Skip: skip(top, scopes[i:n])})
		i = n
	}
	return out
}

// key sorts a directory right before what is in it.
func key(path string) string {
	b := []byte(path)
	for i, c := range b {
		if c == filepath.Separator {
			b[i] = 0
		}
	}
	return string(b)
}

// skip leaves out what no rule wants.
func skip(top string, members []*scope) func(string, bool) bool {
	// Rules that share all their patterns ask the same.
	return func(rel string, dir bool) bool {
		path := filepath.Join(top, filepath.FromSlash(rel))
		for _, s := range members {
			if s.wants(path, dir) {
				return false
			}
		}
		return true
	}
}
