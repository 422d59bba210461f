package live

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"devstack/engine/watch"
)

// gone remembers what was removed from the host and may be in an image still:
// a container that is made of it anew has to lose it again. A new image was
// built without it.
type gone struct {
	path string

	mu    sync.Mutex
	paths map[string][]string // by image, sorted
}

// mostGone bounds what is remembered of an image.
const mostGone = 10_000

func openGone(path string) *gone {
	g := &gone{path: path, paths: map[string][]string{}}
	data, _ := os.ReadFile(path) // without it nothing was removed as far as anybody knows
	words := strings.Split(string(data), "\x00")
	for i := 0; i+1 < len(words); i += 2 {
		g.paths[words[i]] = append(g.paths[words[i]], words[i+1])
	}
	return g
}

// of is what containers of an image have to lose.
func (g *gone) of(image string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.paths[image])
}

// note takes in what is not there any more, and drops what is there again.
func (g *gone) note(image string, ops []watch.Op) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := slices.Clone(g.paths[image])
	changed := false
	for _, op := range ops {
		look := os.Lstat
		if op.Follow {
			look = os.Stat
		}
		_, err := look(op.Source)
		i, known := slices.BinarySearch(list, op.Source)
		switch is := !errors.Is(err, fs.ErrNotExist); {
		case is && known:
			list = slices.Delete(list, i, i+1)
		case !is && !known && len(list) < mostGone && !within(list, op.Source):
			list = slices.Insert(list, i, op.Source)
		default:
			continue
		}
		changed = true
	}
	if !changed {
		return nil
	}
	g.paths[image] = list
	return g.write()
}

// retain forgets images.
func (g *gone) retain(wanted func(image string) bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := len(g.paths)
	maps.DeleteFunc(g.paths, func(image string, _ []string) bool { return !wanted(image) })
	if len(g.paths) == before {
		return nil
	}
	return g.write()
}

// write is called with the lock.
func (g *gone) write() error {
	var b strings.Builder
	for _, image := range slices.Sorted(maps.Keys(g.paths)) {
		for _, p := range g.paths[image] {
			b.WriteString(image + "\x00" + p + "\x00")
		}
	}
	return replaceFile(g.path, b.String())
}

// within says whether a directory that holds a path is in a sorted list.
func within(list []string, path string) bool {
	for up := filepath.Dir(path); up != path; path, up = up, filepath.Dir(up) {
		if _, found := slices.BinarySearch(list, up); found {
			return true
		}
	}
	return false
}
