package remote

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"devstack/compose/load"
)

// Cache gets project files and keeps them. It is for one goroutine.
type Cache struct {
	Dir     string   // of the cache
	Environ []string // leads to credentials, proxies, git's settings
	// Warn tells of an answer that is not fresh.
	Warn func(string)

	known map[string]load.Fetched
}

// origin is a place that project files come from.
type origin interface {
	// resolve says what the reference stands for now: the name of a folder.
	resolve(ctx context.Context) (string, error)
	// download fills a folder with what resolve has named.
	download(ctx context.Context, dir string) error
	// file is the project file in a filled folder.
	file(dir string) (string, error)
	// fixed is what resolve will say, where that is known without asking.
	fixed() string
	name() string
}

// errUnreachable says that nobody answered.
var errUnreachable = errors.New("cannot be reached")

// Takes tells references from paths.
func (c *Cache) Takes(ref string) bool { return isOCI(ref) || isGit(ref) }

func (c *Cache) open(ref string) (origin, error) {
	if isOCI(ref) {
		return newArtifactSource(ref, c.Environ)
	}
	return newRepository(ref, c.Environ)
}

// Fetch makes a local copy of what ref names.
func (c *Cache) Fetch(ctx context.Context, ref string, stale bool) (load.Fetched, error) {
	if got, ok := c.known[ref]; ok {
		return got, nil
	}
	src, err := c.open(ref)
	if err != nil {
		return load.Fetched{}, err
	}
	id, err := c.resolve(ctx, ref, src, stale)
	if err != nil {
		return load.Fetched{}, err
	}
	dir, err := c.fill(ctx, id, src)
	if err != nil {
		return load.Fetched{}, err
	}
	path, err := src.file(dir)
	if err != nil {
		return load.Fetched{}, err
	}
	got := load.Fetched{Path: path, Name: src.name()}
	if c.known == nil {
		c.known = map[string]load.Fetched{}
	}
	c.known[ref] = got
	return got, c.remember(ref, id)
}

// resolve settles what ref stands for: by asking, or by what it was last.
func (c *Cache) resolve(ctx context.Context, ref string, src origin, stale bool) (string, error) {
	if id := src.fixed(); id != "" {
		return id, nil
	}
	last := c.last(ref)
	if stale && last != "" {
		return last, nil
	}
	id, err := src.resolve(ctx)
	if errors.Is(err, errUnreachable) && last != "" && ctx.Err() == nil {
		if c.Warn != nil {
			text, _, _ := strings.Cut(err.Error(), "\n") // without the hint
			c.Warn(fmt.Sprintf("%s: %s; the copy from last time is used", load.Redacted(ref), text))
		}
		return last, nil
	}
	return id, err
}

// last is what ref stood for when it was got last, if that is still here.
func (c *Cache) last(ref string) string {
	b, err := os.ReadFile(c.note(ref))
	id := strings.TrimSpace(string(b))
	if err != nil || !filepath.IsLocal(id) {
		return ""
	}
	if _, err := os.Stat(filepath.Join(c.Dir, id)); err != nil {
		return ""
	}
	return id
}

func (c *Cache) note(ref string) string { return filepath.Join(c.Dir, "refs", short(ref)) }

func (c *Cache) remember(ref, id string) error {
	path := c.note(ref)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep it: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "new-")
	if err != nil {
		return fmt.Errorf("keep it: %w", err)
	}
	_, err = tmp.WriteString(id + "\n")
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
		return fmt.Errorf("keep it: %w", err)
	}
	return nil
}

// fill makes the folder id, complete or not at all.
func (c *Cache) fill(ctx context.Context, id string, src origin) (string, error) {
	dir := filepath.Join(c.Dir, id)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", fmt.Errorf("make cache: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		return "", fmt.Errorf("make cache: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := src.download(ctx, tmp); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, there := os.Stat(dir); there == nil && errors.Is(err, fs.ErrExist) {
			return dir, nil // somebody else was faster
		}
		return "", fmt.Errorf("keep it: %w", err)
	}
	return dir, nil
}

// short is a name for any text.
func short(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}
