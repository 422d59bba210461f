package solve

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"devstack/engine/image"
	"devstack/engine/image/store"
)

// recordVersion is that of the files; others are as good as not there.
const recordVersion = 1

// Record says what a step came to.
type Record struct {
	Version int         `json:"version"`
	Key     string      `json:"key"`
	Step    string      `json:"step"` // as shown, for people
	Project string      `json:"project,omitempty"`
	Empty   bool        `json:"empty,omitempty"` // it changed nothing: no layer
	Layer   image.Layer `json:"layer"`
	Created time.Time   `json:"created"`
	// Used is when a build last took it; kept as the file's time.
	Used time.Time `json:"-"`
}

// Cache are the records of steps, one file each:
//
//	DIR/v1/KE/KEY.json
//
// A record counts while the store has its layer. It may be used by several
// goroutines and processes: files appear and go as a whole.
type Cache struct {
	dir    string
	images *store.Store

	writes sync.WaitGroup
}

// OpenCache opens the records beneath dir.
func OpenCache(dir string, images *store.Store) (*Cache, error) {
	c := &Cache{dir: filepath.Join(dir, "v1"), images: images}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, fmt.Errorf("open build cache: %w", err)
	}
	return c, nil
}

// Close waits for records that are being written.
func (c *Cache) Close() { c.writes.Wait() }

func (c *Cache) path(key string) string { return filepath.Join(c.dir, key[:2], key+".json") }

// touchAfter is how old the note of a use may get.
const touchAfter = time.Hour

// find is the record of a key, if it can be used.
func (c *Cache) find(key string) (Record, bool) {
	r, err := c.read(c.path(key))
	if err != nil || r.Key != key {
		return Record{}, false
	}
	if !r.Empty {
		if !c.images.HasLayer(r.Layer.DiffID) || !c.images.HasBlob(r.Layer.Digest, r.Layer.Size) {
			return Record{}, false
		}
		r.Layer.Dir = c.images.LayerDir(r.Layer.DiffID)
	}
	if now := time.Now(); now.Sub(r.Used) > touchAfter {
		os.Chtimes(c.path(key), now, now) // a hint for those who prune
	}
	return r, true
}

func (c *Cache) read(path string) (Record, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Record{}, err
	}
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return Record{}, err
	}
	if r.Version != recordVersion || !r.Empty && r.Layer.DiffID.Validate() != nil {
		return Record{}, fmt.Errorf("record %s is of version %d", path, r.Version)
	}
	if st, err := os.Stat(path); err == nil {
		r.Used = st.ModTime()
	}
	return r, nil
}

// put writes a record. It is on disk when Close, or wait, returns: a build
// goes on meanwhile, and a record that is lost costs a step.
func (c *Cache) put(r Record) {
	r.Version, r.Created = recordVersion, time.Now().UTC()
	r.Layer.Dir = ""
	c.writes.Go(func() { c.write(r) })
}

func (c *Cache) write(r Record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	path := c.path(r.Key)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp := filepath.Join(c.dir, "."+rand.Text())
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// Records lists all that can be read, the least recently used first.
func (c *Cache) Records(ctx context.Context) ([]Record, error) {
	var out []Record
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".json" {
			return err
		}
		if r, err := c.read(path); err == nil {
			out = append(out, r)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list build cache: %w", err)
	}
	slices.SortFunc(out, func(a, b Record) int { return a.Used.Compare(b.Used) })
	return out, nil
}

// Remove forgets a record; its layer goes with the store's next collection.
func (c *Cache) Remove(key string) error {
	if len(key) < 3 || filepath.Base(key) != key {
		return fmt.Errorf("remove build record: key %q is not valid", key)
	}
	if err := os.Remove(c.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove build record: %w", err)
	}
	return nil
}
