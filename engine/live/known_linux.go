package live

import (
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
)

// known remembers containers over sessions.
type known struct {
	path string

	mu  sync.Mutex
	ids map[string]bool
}

func openKnown(path string) *known {
	k := &known{path: path, ids: map[string]bool{}}
	data, _ := os.ReadFile(path) // without it every container is compared once more
	for id := range strings.FieldsSeq(string(data)) {
		k.ids[id] = true
	}
	return k
}

func (k *known) has(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ids[id]
}

// retain forgets containers that are not there any more.
func (k *known) retain(there func(id string) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.ids, func(id string, _ bool) bool { return !there(id) })
}

// set notes whether a container's tree is known.
func (k *known) set(id string, known bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ids[id] == known {
		return nil
	}
	if known {
		k.ids[id] = true
	} else {
		delete(k.ids, id)
	}
	return replaceFile(k.path, strings.Join(slices.Sorted(maps.Keys(k.ids)), "\n"))
}

// replaceFile writes a file as a whole: who reads it finds the old or the new one.
func replaceFile(path, text string) error {
	if err := os.WriteFile(path+".tmp", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
