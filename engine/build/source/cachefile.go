package source

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// A cache file is the header, entries of one size in no order, and the
// SHA-256 of all that: one that does not check out is no cache, never an
// error.
const cacheHeader = "devstack stat cache 1\n"

// maxCached bounds a Cache that is saved (about 40 MB); what was not asked for
// the longest goes first.
const maxCached = 500_000

// fileEntry is how an entry is written: little endian.
type fileEntry struct {
	Key    cacheKey
	Digest [32]byte
	Used   uint32
}

// OpenCache reads a Cache that Save wrote; a missing or damaged file is an
// empty one.
func OpenCache(path string) (*Cache, error) {
	c := NewCache()
	c.path = path
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read stat cache: %w", err)
	}
	body, ok := bytes.CutPrefix(data, []byte(cacheHeader))
	if !ok || len(body) < sha256.Size {
		return c, nil
	}
	end := len(data) - sha256.Size
	if sum := sha256.Sum256(data[:end]); !bytes.Equal(sum[:], data[end:]) {
		return c, nil
	}
	body = body[:len(body)-sha256.Size]
	size := binary.Size(fileEntry{})
	for ; len(body) >= size; body = body[size:] {
		var e fileEntry
		if _, err := binary.Decode(body, binary.LittleEndian, &e); err != nil {
			return NewCache(), nil
		}
		c.entries[e.Key] = cached{e.Digest, e.Used}
		c.generation = max(c.generation, e.Used)
	}
	c.generation++
	return c, nil
}

// Save writes the Cache back if it has learned anything.
func (c *Cache) Save() error {
	if c == nil || c.path == "" {
		return nil
	}
	data := c.encode()
	if data == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return fmt.Errorf("save stat cache: %w", err)
	}
	if err := writeFile(c.path, data); err != nil {
		return fmt.Errorf("save stat cache: %w", err)
	}
	return nil
}

func (c *Cache) encode() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dirty {
		return nil
	}
	entries := make([]fileEntry, 0, len(c.entries))
	for k, e := range c.entries {
		entries = append(entries, fileEntry{k, e.digest, e.used})
	}
	if len(entries) > maxCached {
		slices.SortFunc(entries, func(a, b fileEntry) int { return cmp.Compare(b.Used, a.Used) })
		for _, e := range entries[maxCached:] {
			delete(c.entries, e.Key)
		}
		entries = entries[:maxCached]
	}
	c.dirty = false
	c.generation++
	out := make([]byte, 0, len(cacheHeader)+len(entries)*binary.Size(fileEntry{})+sha256.Size)
	out = append(out, cacheHeader...)
	for i := range entries {
		out, _ = binary.Append(out, binary.LittleEndian, &entries[i]) // of fixed size: cannot fail
	}
	sum := sha256.Sum256(out)
	return append(out, sum[:]...)
}

// writeFile replaces a file whole.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), tempPrefix)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
