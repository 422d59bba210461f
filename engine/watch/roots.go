package watch

import (
	"cmp"
	"path/filepath"
	"slices"
)

// Roots are what has to be watched for the rules and the model. No root is
// within another, unless a link leads to it.
func (r *Rules) Roots() []Root {
	scopes := r.scopes()
	slices.SortStableFunc(scopes, func(a, b *scope) int { return cmp.Compare(key(a.base), key(b.base)) })
	var groups [][]*scope // each with its root first
	for _, s := range scopes {
		i := slices.IndexFunc(groups, func(g []*scope) bool { return r.links.holds(g[0].base, s.base) })
		if i < 0 {
			groups = append(groups, []*scope{s})
			continue
		}
		groups[i] = append(groups[i], s)
	}
	out := make([]Root, len(groups))
	for i, g := range groups {
		out[i] = Root{Path: g[0].base, Skip: skip(g[0].base, g)}
	}
	return out
}

// scopes are those of the rules and of the model.
func (r *Rules) scopes() []*scope {
	scopes := make([]*scope, 0, len(r.rules)+len(r.model))
	for _, x := range r.rules {
		scopes = append(scopes, &x.scope)
	}
	for _, f := range r.model {
		scopes = append(scopes, &scope{base: f.Path})
	}
	return scopes
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
