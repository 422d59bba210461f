package publish

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
)

// Keeper holds duplicates of listening sockets outside this process.
type Keeper interface {
	Keep(name string, f *os.File) error
	Drop(name string) error
}

// Config is what a Table works with.
type Config struct {
	Keep     Keeper              // may be nil
	Restored map[string]*os.File // what Keep held before
}

// Table is all published ports of an engine.
type Table struct {
	cfg Config

	mu    sync.Mutex
	ports map[string]*port
}

// Open makes an empty table.
func Open(cfg Config) *Table { return &Table{cfg: cfg, ports: map[string]*port{}} }

var errTodo = errors.New("publish: not yet")

type port struct{}

func (t *Table) Close() {}
func (t *Table) Publish(ctx context.Context, s Spec) (Published, error) {
	return Published{}, fmt.Errorf("%s: %w", s.Key, errTodo)
}
func (t *Table) SetBackends(key string, to []netip.AddrPort) {}
func (t *Table) Unpublish(key string) error                  { return nil }
