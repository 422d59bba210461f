package source

import (
	"sync"
)

// cacheKey identifies the content of a file as far as stat can. ctime cannot
// be set by anybody, so what keeps its key keeps its content.
type cacheKey struct {
	Dev, Ino          uint64
	Size              int64
	Modified, Changed int64
	Type              Type
	Owned             uint8
}

type cached struct {
	digest [32]byte
	used   uint32 // the generation it was last asked for in
}

// Cache remembers digests of files by their stat. A nil Cache is empty and
// stays so. It may be used by several goroutines.
type Cache struct {
	mu         sync.Mutex
	entries    map[cacheKey]cached
	generation uint32
	dirty      bool
	path       string
}

// NewCache is a Cache in memory.
func NewCache() *Cache { return &Cache{entries: map[cacheKey]cached{}} }

func (c *Cache) lookup(k cacheKey) ([32]byte, bool) {
	if c == nil {
		return [32]byte{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[k]
	if ok && e.used != c.generation {
		e.used = c.generation
		c.entries[k] = e
	}
	return e.digest, ok
}

func (c *Cache) store(k cacheKey, d [32]byte) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries[k] = cached{d, c.generation}
	c.dirty = true
}

// tempPrefix marks what is being written; Sweep removes what a crash left.
const tempPrefix = "tmp-"
