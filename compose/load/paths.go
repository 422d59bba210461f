package load

import (
	"path/filepath"
	"strings"

	"devstack/schema"
)

// absolute makes a path of the project file absolute.
func (c *conformer) absolute(s string, place schema.Place) string {
	if s == "" || c.ld.opts.NoPathResolution || c.ld.opts.raw && strings.Contains(s, "$") {
		return s
	}
	switch place {
	case schema.ContextPath:
		if strings.Contains(s, "://") || strings.HasPrefix(s, "service:") || strings.HasPrefix(s, "github.com/") || strings.HasPrefix(s, "git@") || s == "-" {
			return s
		}
	case schema.FilePath:
		if c.ld.takes(s) {
			return s
		}
	case schema.SourcePath:
		if strings.HasPrefix(s, `\\`) || len(s) > 2 && isDrive(s[:1]) && s[1] == ':' && (s[2] == '\\' || s[2] == '/') {
			return s
		}
	}
	if s[0] == '~' {
		if home := c.ld.home(); home != "" {
			s = filepath.Join(home, s[1:])
		}
	}
	if filepath.IsAbs(s) {
		return s
	}
	s = filepath.Join(c.base, s)
	if place == schema.WatchPath && !c.ld.opts.KeepLinks {
		s = followLink(s)
	}
	return s
}

// followLink resolves the first link in a path, as Compose does for watched
// paths, so that events can be matched to rules.
func followLink(s string) string {
	for i := 1; i <= len(s); i++ {
		if i < len(s) && s[i] != filepath.Separator {
			continue
		}
		if target, err := filepath.EvalSymlinks(s[:i]); err == nil && target != s[:i] {
			return target + s[i:]
		}
	}
	return s
}
