package live

import (
	"maps"
	"os"
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
	k.ids[id] = known
	var b strings.Builder
	for id, is := range k.ids {
		if is {
			b.WriteString(id + "\n")
		}
	}
	if err := os.WriteFile(k.path+".tmp", []byte(b.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(k.path+".tmp", k.path)
}
