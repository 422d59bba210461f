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
	"strings"
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
	users int           // guarded by CacheMounts.mu
	freed chan struct{} // closed when somebody leaves, if somebody waits

	making sync.Mutex // held while the tree is filled
}

// CacheMount is one to take.
type CacheMount struct {
	ID      string
	Sharing string // shared (also ""), private, locked
	Mode    os.FileMode
	UID     int
	GID     int
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

// Taken is a cache mount that a command may use until Release.
type Taken struct {
	mounts *CacheMounts
	at     string
	root   *os.File
}

// Take takes a cache mount. A locked one is waited for; of a private one that
// somebody else may use, another is made. Who takes several does so in the
// order of their ids, each once: else two may wait for each other.
func (c *CacheMounts) Take(ctx context.Context, m CacheMount) (*Taken, error) {
	sum := sha256.Sum256([]byte(m.ID))
	base := filepath.Join(c.dir, hex.EncodeToString(sum[:16]))
	at, use, err := c.reserve(ctx, base, m.Sharing)
	if err != nil {
		return nil, err
	}
	root, err := use.open(at, m)
	if err != nil {
		c.leave(at)
		return nil, fmt.Errorf("make cache mount %s: %w", m.ID, err)
	}
	return &Taken{c, at, root}, nil
}

// Open opens the directory, or one beneath it, which is made where missing.
func (t *Taken) Open(subdir string) (*os.File, error) {
	if err := MakeDir(t.root, subdir, ""); err != nil {
		return nil, err
	}
	return OpenPath(t.root, subdir)
}

// Release gives it back, and notes when it was used last, for those who prune.
func (t *Taken) Release() error {
	now := time.Now()
	err := errors.Join(t.root.Close(), os.Chtimes(t.at, now, now))
	t.mounts.leave(t.at)
	return err
}

func (c *CacheMounts) reserve(ctx context.Context, base, sharing string) (string, *mountUse, error) {
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
			return at, u, nil
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
			return "", nil, context.Cause(ctx)
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

// open opens the tree at a directory, which has its name only when it is
// filled.
func (u *mountUse) open(at string, m CacheMount) (*os.File, error) {
	u.making.Lock()
	defer u.making.Unlock()
	tree := filepath.Join(at, "tree")
	root, err := os.Open(tree)
	if !errors.Is(err, fs.ErrNotExist) {
		return root, err
	}
	if err := fill(at, tree, m); err != nil {
		return nil, err
	}
	return os.Open(tree)
}

func fill(at, tree string, m CacheMount) error {
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
		out = append(out, CacheUse{Name: e.Name(), ID: strings.TrimSuffix(string(id), "\n"), Used: fi.ModTime(), Busy: busy})
	}
	slices.SortFunc(out, func(a, b CacheUse) int { return a.Used.Compare(b.Used) })
	return out, nil
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
