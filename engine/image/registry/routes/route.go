package routes

import (
	"fmt"
	"slices"
	"strings"
)

// Endpoint is a repository where it really lies.
type Endpoint struct {
	Host, Path string
	// Insecure endpoints may have a certificate that nobody vouches for, or
	// speak plain HTTP.
	Insecure bool
	Mirror   bool

	pullFrom string
}

// Name is the repository's name at the endpoint.
func (e Endpoint) Name() string { return e.Host + "/" + e.Path }

// Serves says whether the endpoint is asked for manifests by digest or tag.
func (e Endpoint) Serves(byDigest bool) bool {
	switch e.pullFrom {
	case "digest-only":
		return byDigest
	case "tag-only":
		return !byDigest
	}
	return true
}

// BlockedError says that registries.conf forbids a registry.
type BlockedError struct{ Name, Prefix, File string }

func (e *BlockedError) Error() string {
	return fmt.Sprintf("%s is blocked by %s (registry %s)", e.Name, e.File, e.Prefix)
}

// Route gives the endpoints of a repository, named with its registry, in the
// order they are to be tried: mirrors, then the registry itself. Pushes go to
// the last.
func (c *Config) Route(name string) ([]Endpoint, error) {
	t, n := c.find(name)
	if t == nil {
		return []Endpoint{split(name)}, nil
	}
	if t.Blocked {
		return nil, &BlockedError{Name: name, Prefix: t.Prefix, File: t.file}
	}
	var out []Endpoint
	for _, m := range t.Mirrors {
		e := split(m.Location + name[n:])
		e.Insecure, e.Mirror, e.pullFrom = m.Insecure, true, m.PullFrom
		out = append(out, e)
	}
	own := name
	if t.Location != "" {
		own = t.Location + name[n:]
	}
	e := split(own)
	e.Insecure = t.Insecure
	return append(out, e), nil
}

// find is the table with the longest prefix of name, and how much of name
// that stands for.
func (c *Config) find(name string) (*table, int) {
	var best *table
	var length int
	for i := range c.tables {
		t := &c.tables[i]
		if n := match(name, t.Prefix); n > 0 && (best == nil || len(t.Prefix) > len(best.Prefix)) {
			best, length = t, n
		}
	}
	return best, length
}

// match is how much of a repository's name a prefix stands for: whole
// components, or with "*.example.com" the host.
func match(name, prefix string) int {
	if suffix, ok := strings.CutPrefix(prefix, "*"); ok {
		host, _, _ := strings.Cut(name, "/")
		bare, _, _ := strings.Cut(host, ":")
		switch {
		case strings.HasSuffix(host, suffix) && len(host) > len(suffix):
			return len(host)
		case strings.HasSuffix(bare, suffix) && len(bare) > len(suffix):
			return len(bare)
		}
		return 0
	}
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok || rest != "" && rest[0] != '/' && (rest[0] != ':' || strings.Contains(prefix, "/")) {
		return 0
	}
	return len(prefix)
}

func split(name string) Endpoint {
	host, path, _ := strings.Cut(name, "/")
	return Endpoint{Host: host, Path: path}
}

// AmbiguousError says that a short name could be meant for several registries.
type AmbiguousError struct {
	Name   string
	Search []string
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("short name %q could be an image of %s", e.Name, strings.Join(e.Search, ", "))
}

const hub = "docker.io"

// Short gives the repositories that a name without a registry may mean, in the
// order they are to be tried: its alias, or the name in each registry to be
// searched. Where nothing is said it means Docker Hub, as for Compose. With
// several registries in the mode "enforcing", the default, nothing is
// guessed: Docker Hub if it is among them, else an *AmbiguousError.
func (c *Config) Short(path string) ([]string, error) {
	bare := strings.TrimPrefix(path, "library/")
	for _, name := range []string{path, bare} {
		if alias, ok := c.aliases[name]; ok {
			return []string{alias}, nil
		}
	}
	if len(c.search) > 1 && (c.mode == "" || c.mode == "enforcing") {
		if slices.Contains(c.search, hub) {
			return []string{hub + "/" + path}, nil
		}
		return nil, &AmbiguousError{Name: bare, Search: c.search}
	}
	if len(c.search) == 0 {
		return []string{hub + "/" + path}, nil
	}
	var out []string
	for _, host := range c.search {
		if host == hub {
			out = append(out, hub+"/"+path)
			continue
		}
		out = append(out, clean(host)+"/"+bare)
	}
	return out, nil
}
