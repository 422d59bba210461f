package step

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"devstack/engine/image/layer"
)

// CacheMounts are the directories behind RUN --mount=type=cache:
//
//	DIR/HASH.N/tree   HASH of the id; N > 0 for private ones used at once
//	DIR/HASH.N/id     whose it is, for people
//
// They belong to one engine: locks are in memory.
type CacheMounts struct {
	dir string

	mu   sync.Mutex
	used map[string]*mountUse // by directory
}

type mountUse struct {
	users int
	freed chan struct{} // closed when somebody leaves, if somebody waits
}

// CacheMount is one to take.
type CacheMount struct {
	ID      string
	Sharing string // shared (also ""), private, locked
	Mode    os.FileMode
	UID     int
	GID     int
	Subdir  string // of it, made where missing
	// Fill puts the first content into a new one; may be nil.
	Fill func(dir *os.File) error
}

// OpenCacheMounts opens the directories beneath dir.
func OpenCacheMounts(dir string) (*CacheMounts, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open cache mounts: %w", err)
	}
	return &CacheMounts{dir: dir, used: map[string]*mountUse{}}, nil
}

// Take gives the directory of a cache mount until release. A locked one is
// waited for; of a private one somebody else may use, another is made.
func (c *CacheMounts) Take(ctx context.Context, m CacheMount) (dir string, release func() error, err error) {
	sum := sha256.Sum256([]byte(m.ID))
	base := filepath.Join(c.dir, hex.EncodeToString(sum[:16]))
	at, err := c.reserve(ctx, base, m.Sharing)
	if err != nil {
		return "", nil, err
	}
	if dir, err = c.make(at, m); err != nil {
		c.leave(at)
		return "", nil, fmt.Errorf("make cache mount %s: %w", m.ID, err)
	}
	return dir, func() error {
		now := time.Now()
		err := os.Chtimes(at, now, now) // when it was used last, for Prune
		c.leave(at)
		return err
	}, nil
}

func (c *CacheMounts) reserve(ctx context.Context, base, sharing string) (string, error) {
	for n := 0; ; {
		at := base + "." + strconv.Itoa(n)
		c.mu.Lock()
		u := c.used[at]
		if u == nil {
			u = &mountUse{}
			c.used[at] = u
		}
		if u.users == 0 || sharing == "" || sharing == "shared" {
			u.users++
			c.mu.Unlock()
			return at, nil
		}
		if sharing == "private" {
			c.mu.Unlock()
			n++
			continue
		}
		if u.freed == nil {
			u.freed = make(chan struct{})
		}
		freed := u.freed
		c.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

func (c *CacheMounts) leave(at string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.used[at]
	if u.users--; u.freed != nil {
		close(u.freed)
		u.freed = nil
	}
	if u.users == 0 {
		delete(c.used, at)
	}
}

// make makes what is missing. A tree has its name only when it is filled.
func (c *CacheMounts) make(at string, m CacheMount) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	tree := filepath.Join(at, "tree")
	if _, err := os.Lstat(tree); errors.Is(err, fs.ErrNotExist) {
		if err := c.fill(at, tree, m); err != nil {
			return "", err
		}
	} else if err != nil {
		return "", err
	}
	if m.Subdir == "" {
		return tree, nil
	}
	root, err := os.Open(tree)
	if err != nil {
		return "", err
	}
	defer root.Close()
	if err := MakeDir(root, m.Subdir, ""); err != nil {
		return "", err
	}
	f, err := OpenPath(root, m.Subdir)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return os.Readlink("/proc/self/fd/" + itoa(int(f.Fd())))
}

func (c *CacheMounts) fill(at, tree string, m CacheMount) error {
	tmp := filepath.Join(at, "new")
	if err := layer.RemoveAll(at); err != nil {
		return err
	}
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(at, "id"), []byte(m.ID+"\n"), 0o600); err != nil {
		return err
	}
	if m.Fill != nil {
		root, err := os.Open(tmp)
		if err != nil {
			return err
		}
		err = m.Fill(root)
		root.Close()
		if err != nil {
			return err
		}
	}
	if err := os.Chown(tmp, m.UID, m.GID); err != nil {
		return err
	}
	if err := os.Chmod(tmp, m.Mode); err != nil {
		return err
	}
	return os.Rename(tmp, tree)
}

// ErrInUse says that a command uses a cache mount.
var ErrInUse = errors.New("it is in use")

// Dir is where one of List lies.
func (c *CacheMounts) Dir(name string) string { return filepath.Join(c.dir, name) }

// CacheUse is one directory of cache mounts, for those who clean up.
type CacheUse struct {
	Name string // of the directory
	ID   string
	Used time.Time
	Busy bool
}

// List gives all of them, the least recently used first.
func (c *CacheMounts) List() ([]CacheUse, error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, fmt.Errorf("list cache mounts: %w", err)
	}
	var out []CacheUse
	for _, e := range entries {
		at := filepath.Join(c.dir, e.Name())
		fi, err := os.Stat(at)
		if err != nil {
			continue
		}
		id, _ := os.ReadFile(filepath.Join(at, "id"))
		c.mu.Lock()
		busy := c.used[at] != nil
		c.mu.Unlock()
		out = append(out, CacheUse{Name: e.Name(), ID: string(slices.Clip(trimLine(id))), Used: fi.ModTime(), Busy: busy})
	}
	slices.SortFunc(out, func(a, b CacheUse) int { return a.Used.Compare(b.Used) })
	return out, nil
}

func trimLine(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		return b[:n-1]
	}
	return b
}

// Remove removes one that nobody uses.
func (c *CacheMounts) Remove(name string) error {
	at := filepath.Join(c.dir, name)
	if filepath.Dir(at) != c.dir {
		return fmt.Errorf("remove cache mount: name %q is not valid", name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used[at] != nil {
		return fmt.Errorf("remove cache mount %s: %w", name, ErrInUse)
	}
	return layer.RemoveAll(at)
}
