package build

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Types of CacheRef.
const (
	cacheLocal    = "local"
	cacheRegistry = "registry"
	cacheInline   = "inline"
)

// CacheRef is a place to take steps' results from, or to put them.
type CacheRef struct {
	Type string // local, registry, inline; others are not carried out
	Ref  string // of registry
	Dir  string // of local: an OCI image layout
	// Max exports the steps of all stages instead of those that are in the
	// image.
	Max          bool
	IgnoreErrors bool // when exporting
}

// ParseCache reads an entry of cache_from or cache_to, "type=...,key=value" or
// a reference. Paths are relative to dir.
func ParseCache(text, dir string) (CacheRef, error) {
	if !strings.Contains(text, "=") {
		return CacheRef{Type: cacheRegistry, Ref: text}, nil
	}
	var c CacheRef
	for part := range strings.SplitSeq(text, ",") {
		k, v, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return c, fmt.Errorf("%q: %q is not key=value", text, part)
		}
		switch k {
		case "type":
			c.Type = v
		case "ref":
			c.Ref = v
		case "src", "dest":
			c.Dir = v
		case "mode":
			if v != "min" && v != "max" {
				return c, fmt.Errorf("%q: mode is neither min nor max", text)
			}
			c.Max = v == "max"
		case "ignore-error":
			c.IgnoreErrors = v == "true"
		}
	}
	return c, c.check(text, dir)
}

func (c *CacheRef) check(text, dir string) error {
	switch {
	case c.Type == "":
		return fmt.Errorf("%q has no type", text)
	case c.Type == cacheRegistry && c.Ref == "":
		return fmt.Errorf("%q has no ref", text)
	case c.Type == cacheLocal && c.Dir == "":
		return fmt.Errorf("%q has no directory (src=, dest=)", text)
	case c.Dir != "" && !filepath.IsAbs(c.Dir):
		c.Dir = filepath.Join(dir, c.Dir)
	}
	return nil
}

func (c CacheRef) known() bool {
	return slices.Contains([]string{cacheLocal, cacheRegistry, cacheInline}, c.Type)
}

// String is the place, for people.
func (c CacheRef) String() string {
	switch c.Type {
	case cacheLocal:
		return c.Dir
	case cacheRegistry:
		return c.Ref
	}
	return "type=" + c.Type
}
