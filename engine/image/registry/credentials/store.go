package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Store is where one environment keeps its credentials. It reads the files
// anew for each call.
type Store struct {
	environ []string
}

// New makes the store of an environment, given as by os.Environ.
func New(environ []string) *Store { return &Store{environ: environ} }

// Getenv is the last value of a variable, or "".
func (s *Store) Getenv(key string) string {
	for _, kv := range slices.Backward(s.environ) {
		if k, v, ok := strings.Cut(kv, "="); ok && k == key {
			return v
		}
	}
	return ""
}

// Find gives the credentials for a repository of a registry; the zero Auth if
// there are none. In each file helpers come before what the file itself holds.
// It is a *MissingHelperError if there might be some.
func (s *Store) Find(ctx context.Context, registry, path string) (Auth, error) {
	configs, err := s.configs()
	if err != nil {
		return Auth{}, err
	}
	var missing error // a helper; another file may do without
	for _, c := range configs {
		if h := c.helper(registry); h != "" {
			a, err := s.helper(h).get(ctx, Key(registry))
			if err == nil && a != (Auth{}) {
				return a, nil
			}
			var absent *MissingHelperError
			if errors.As(err, &absent) {
				missing = err
			} else if err != nil && !errors.Is(err, errAbsent) {
				return Auth{}, err
			}
		}
		a, ok, err := c.lookup(registry, path)
		if ok || err != nil {
			return a, err
		}
	}
	return Auth{}, missing
}

func (s *Store) configs() ([]*config, error) {
	var out []*config
	if inline := s.Getenv("DOCKER_AUTH_CONFIG"); inline != "" {
		c, err := parse("", []byte(inline))
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	for _, path := range paths(s.Getenv) {
		c, err := read(path)
		if err != nil {
			return nil, err
		}
		if c != nil {
			out = append(out, c)
		}
	}
	return out, nil
}

func (s *Store) helper(name string) helper {
	return helper{name: name, environ: s.environ, getenv: s.Getenv}
}

// Saved says where credentials went.
type Saved struct {
	File   string // that holds them, or names the helper
	Helper string // "" if the file itself holds them, in clear
}

// Save keeps credentials: in REGISTRY_AUTH_FILE if that is set, else in
// Docker's config.json, or in the helper that this file names.
func (s *Store) Save(ctx context.Context, registry string, a Auth) (Saved, error) {
	c, err := s.own()
	if err != nil {
		return Saved{}, err
	}
	saved := Saved{File: c.path, Helper: c.helper(registry)}
	key := Key(registry)
	if saved.Helper != "" {
		if err := s.helper(saved.Helper).save(ctx, key, a); err != nil {
			return saved, err
		}
		if _, held := c.auths[key]; !held {
			return saved, nil
		}
		c.remove(registry) // an older one in clear
		return saved, c.save()
	}
	c.remove(registry)
	if c.auths[key], err = json.Marshal(encode(a)); err != nil {
		return saved, err
	}
	return saved, c.save()
}

// Erase removes the credentials for a registry from where Save puts them, and
// says whether there were any. Others may still have some: see Find.
func (s *Store) Erase(ctx context.Context, registry string) (bool, error) {
	c, err := s.own()
	if err != nil {
		return false, err
	}
	erased := false
	if name := c.helper(registry); name != "" {
		h := s.helper(name)
		_, err := h.get(ctx, Key(registry))
		if err == nil {
			err, erased = h.erase(ctx, Key(registry)), true
		}
		if err != nil && !errors.Is(err, errAbsent) {
			return false, err
		}
	}
	if !c.remove(registry) {
		return erased, nil
	}
	return true, c.save()
}

// own is the file that is written.
func (s *Store) own() (*config, error) {
	path := s.Getenv("REGISTRY_AUTH_FILE")
	if path == "" {
		path = DockerConfig(s.Getenv)
	}
	if path == "" {
		return nil, fmt.Errorf("there is no place for credentials: neither HOME nor DOCKER_CONFIG is set")
	}
	c, err := read(path)
	if c == nil && err == nil {
		c, err = parse(path, nil)
	}
	return c, err
}

// remove takes out every spelling of the registry.
func (c *config) remove(registry string) (removed bool) {
	for key := range c.auths {
		path := strings.TrimRight(strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://"), "/")
		whole := !strings.Contains(path, "/") || strings.HasSuffix(path, "/v1") || strings.HasSuffix(path, "/v2")
		if whole && Key(key) == Key(registry) {
			delete(c.auths, key)
			removed = true
		}
	}
	return removed
}

func (c *config) save() error {
	if err := c.write(); err != nil {
		return fmt.Errorf("write credentials to %s: %w", c.path, err)
	}
	return nil
}
