package routes

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// file is one registries.conf.
type file struct {
	Registries  []table           `toml:"registry"`
	Search      []string          `toml:"unqualified-search-registries"`
	ShortNames  string            `toml:"short-name-mode"`
	Aliases     map[string]string `toml:"aliases"`
	VersionOnes map[string]any    `toml:"registries"` // [registries.search] and so on
}

type table struct {
	Prefix           string   `toml:"prefix"`
	Location         string   `toml:"location"`
	Insecure         bool     `toml:"insecure"`
	Blocked          bool     `toml:"blocked"`
	MirrorDigestOnly bool     `toml:"mirror-by-digest-only"`
	Mirrors          []mirror `toml:"mirror"`

	file string
}

type mirror struct {
	Location string `toml:"location"`
	Insecure bool   `toml:"insecure"`
	PullFrom string `toml:"pull-from-mirror"` // all, digest-only, tag-only
}

// Config is what all files say together; the zero value says nothing.
type Config struct {
	tables  []table
	search  []string
	mode    string
	aliases map[string]string
}

// Load reads CONTAINERS_REGISTRIES_CONF, else the user's file, else the
// system's, and over that the files of registries.conf.d in their order, the
// user's last. Files that are not there say nothing.
func Load(getenv func(string) string) (*Config, error) {
	c := &Config{aliases: map[string]string{}}
	main, explicit := mainFile(getenv)
	if main != "" {
		if err := c.read(main, explicit); err != nil {
			return nil, err
		}
	}
	dirs := []string{"/etc/containers/registries.conf.d"}
	if home := configHome(getenv); home != "" {
		dirs = append(dirs, filepath.Join(home, "containers/registries.conf.d"))
	}
	for _, dir := range dirs {
		names, _ := filepath.Glob(filepath.Join(dir, "*.conf")) // sorted; the pattern is valid
		for _, name := range names {
			if err := c.read(name, false); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

func mainFile(getenv func(string) string) (path string, explicit bool) {
	for _, key := range []string{"CONTAINERS_REGISTRIES_CONF", "REGISTRIES_CONFIG_PATH"} {
		if p := getenv(key); p != "" {
			return p, true
		}
	}
	candidates := []string{"/etc/containers/registries.conf", "/usr/share/containers/registries.conf"}
	if home := configHome(getenv); home != "" {
		candidates = slices.Insert(candidates, 0, filepath.Join(home, "containers/registries.conf"))
	}
	for _, p := range candidates {
		if _, err := os.Stat(p); err == nil {
			return p, false
		}
	}
	return "", false
}

func configHome(getenv func(string) string) string {
	if dir := getenv("XDG_CONFIG_HOME"); dir != "" {
		return dir
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".config")
	}
	return ""
}

func (c *Config) read(path string, required bool) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && !required {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read registries.conf: %w", err)
	}
	f, err := parse(path, b)
	if err != nil {
		return err
	}
	c.merge(f)
	return nil
}

// parse reads one file; its faults have file and line.
func parse(path string, b []byte) (file, error) {
	var f file
	if err := toml.NewDecoder(bytes.NewReader(b)).Decode(&f); err != nil {
		if at := (*toml.DecodeError)(nil); errors.As(err, &at) {
			row, col := at.Position()
			return f, fmt.Errorf("%s:%d:%d: %s", path, row, col, strings.TrimPrefix(at.Error(), "toml: "))
		}
		return f, fmt.Errorf("%s: %w", path, err)
	}
	if f.VersionOnes != nil {
		return f, fmt.Errorf("%s: it is written in version 1 of registries.conf; write [[registry]] tables and unqualified-search-registries instead of [registries.…]", path)
	}
	for i := range f.Registries {
		if err := f.Registries[i].check(path); err != nil {
			return f, err
		}
	}
	if !slices.Contains([]string{"", "enforcing", "permissive", "disabled"}, f.ShortNames) {
		return f, fmt.Errorf("%s: short-name-mode %q is not one of enforcing, permissive, disabled", path, f.ShortNames)
	}
	return f, nil
}

// check fills in what may be left out.
func (t *table) check(path string) error {
	t.file = path
	t.Prefix, t.Location = clean(t.Prefix), clean(t.Location)
	switch {
	case t.Prefix == "" && t.Location == "":
		return fmt.Errorf("%s: a [[registry]] has neither prefix nor location", path)
	case t.Prefix == "":
		t.Prefix = t.Location
	}
	if rest, ok := strings.CutPrefix(t.Prefix, "*"); ok && (!strings.HasPrefix(rest, ".") || strings.ContainsAny(rest, "*/")) || strings.Contains(t.Prefix[1:], "*") {
		return fmt.Errorf(`%s: prefix %q: a wildcard stands only at the start, as in "*.example.com"`, path, t.Prefix)
	}
	for i := range t.Mirrors {
		m := &t.Mirrors[i]
		m.Location = clean(m.Location)
		if m.Location == "" {
			return fmt.Errorf("%s: a mirror of %s has no location", path, t.Prefix)
		}
		if t.MirrorDigestOnly && m.PullFrom == "" {
			m.PullFrom = "digest-only"
		}
		if !slices.Contains([]string{"", "all", "digest-only", "tag-only"}, m.PullFrom) {
			return fmt.Errorf("%s: mirror %s: pull-from-mirror %q is not one of all, digest-only, tag-only", path, m.Location, m.PullFrom)
		}
	}
	return nil
}

func clean(location string) string {
	location = strings.TrimPrefix(strings.TrimPrefix(location, "https://"), "http://")
	return strings.TrimRight(location, "/")
}

// merge puts f over what was read before: a table replaces that of the same
// prefix, lists replace lists, aliases add up; an empty one is taken away.
func (c *Config) merge(f file) {
	for _, t := range f.Registries {
		c.tables = slices.DeleteFunc(c.tables, func(o table) bool { return o.Prefix == t.Prefix && o.file != t.file })
		c.tables = append(c.tables, t)
	}
	if f.Search != nil {
		c.search = f.Search
	}
	if f.ShortNames != "" {
		c.mode = f.ShortNames
	}
	for name, value := range f.Aliases {
		if value == "" {
			delete(c.aliases, name)
			continue
		}
		c.aliases[name] = value
	}
}
