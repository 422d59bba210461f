package copy

import (
	"context"
	"errors"
	"path"
	"strings"

	"devstack/engine/build/source"
)

// match is an entry and the name it was found by: links are followed, and the
// name is what a file keeps.
type match struct {
	path  string
	entry *source.Entry
}

// isWild says whether Go's filepath.Match sees more in a path than itself.
func isWild(p string) bool {
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '*', '?', '[':
			return true
		case '\\':
			i++
		}
	}
	return false
}

// unescape is the name that a pattern without wildcards means.
func unescape(p string) string {
	if !strings.Contains(p, `\`) {
		return p
	}
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		if p[i] == '\\' && i+1 < len(p) {
			i++
		}
		b.WriteByte(p[i])
	}
	return b.String()
}

// glob finds what a source means: itself, or every path that it matches as a
// pattern of filepath.Match. "*" does not cross "/", so "**" means "*". No
// match of a wildcard is no error; what a matched directory holds is not
// matched again.
func glob(ctx context.Context, t *source.Tree, name string) ([]match, error) {
	clean := path.Clean("/" + name)
	if _, err := path.Match(clean, ""); err != nil {
		return nil, fault(name, "is no valid pattern: a \"[\" without \"]\", an empty range, or a \"\\\" at the end")
	}
	if !isWild(clean) {
		// As BuildKit does, a path without wildcards is taken literally.
		e, err := t.Resolve(clean)
		if err != nil {
			return nil, named(err, name)
		}
		return []match{{strings.TrimPrefix(clean, "/"), e}}, nil
	}
	parts := strings.Split(strings.TrimPrefix(clean, "/"), "/")
	literal := 0
	for !isWild(parts[literal]) {
		literal++
	}
	prefix := path.Join(parts[:literal]...)
	top, err := t.Resolve(prefix)
	if err != nil {
		var missing *source.NotFoundError
		if errors.As(err, &missing) {
			return nil, nil
		}
		return nil, err
	}
	g := globber{ctx: ctx, tree: t, whole: strings.Join(parts[literal:], "/")}
	g.parts = parts[literal:]
	// A negated class may match "/", so such patterns are tried on every path.
	g.deep = strings.Contains(g.whole, "[")
	return g.found, g.walk(top, prefix, "")
}

func named(err error, name string) error {
	var missing *source.NotFoundError
	if errors.As(err, &missing) {
		missing.Path = name
	}
	return err
}

type globber struct {
	ctx   context.Context
	tree  *source.Tree
	whole string
	parts []string
	deep  bool
	found []match
}

func (g *globber) walk(dir *source.Entry, prefix, rel string) error {
	if err := g.ctx.Err(); err != nil {
		return err
	}
	children, err := g.tree.Children(dir)
	if err != nil {
		return err
	}
	depth := 0
	if rel != "" {
		depth = strings.Count(rel, "/") + 1
	}
	for _, c := range children {
		name := path.Join(rel, c.Name)
		ok, err := path.Match(g.whole, name)
		if err != nil {
			return fault(g.whole, "is no valid pattern")
		}
		if ok {
			if err := g.take(c, path.Join(prefix, name)); err != nil {
				return err
			}
			continue
		}
		if c.Type != source.TypeDir || !g.deep && !g.enters(depth, c.Name) {
			continue
		}
		if err := g.walk(c, prefix, name); err != nil {
			return err
		}
	}
	return nil
}

func (g *globber) enters(depth int, name string) bool {
	if depth >= len(g.parts)-1 {
		return false
	}
	ok, _ := path.Match(g.parts[depth], name)
	return ok
}

func (g *globber) take(c *source.Entry, name string) error {
	if c.Type == source.TypeLink {
		to, err := g.tree.Resolve(c.Path)
		if err != nil {
			return named(err, name)
		}
		c = to
	}
	g.found = append(g.found, match{name, c})
	return nil
}
