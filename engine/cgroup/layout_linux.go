package cgroup

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// hierarchy is one mounted tree.
type hierarchy struct {
	dir         string   // where it is mounted
	controllers []string // of v1: names as in /proc/self/cgroup; of v2: those that can be enabled
	own         string   // directory of this process's group
	v2          bool
}

// Layout is the host's mounted hierarchies, read once.
type Layout struct {
	unified *hierarchy
	v1      []*hierarchy
}

// Probe reads the mounted hierarchies of this process.
func Probe() (*Layout, error) {
	own, err := ownGroups()
	if err != nil {
		return nil, err
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read cgroup mounts: %w", err)
	}
	defer f.Close()
	l := &Layout{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		l.addMount(lines.Text(), own)
	}
	return l, nil
}

// addMount takes one line of mountinfo(5):
//
//	36 35 98:0 /root /dir rw,relatime shared:1 - cgroup cgroup rw,memory
func (l *Layout) addMount(line string, own map[string]string) {
	head, tail, ok := strings.Cut(line, " - ")
	fields, kind := strings.Fields(head), strings.Fields(tail)
	if !ok || len(fields) < 5 || len(kind) < 3 {
		return
	}
	root, dir := fields[3], fields[4]
	switch kind[0] {
	case "cgroup2":
		if l.unified != nil {
			return
		}
		l.unified = &hierarchy{dir: dir, v2: true, own: below(dir, root, own[""])}
		b, _ := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
		l.unified.controllers = strings.Fields(string(b))
	case "cgroup":
		var names []string
		path := ""
		for _, o := range strings.Split(kind[2], ",") {
			if p, ok := own[o]; ok && o != "" {
				names, path = append(names, o), p
			}
		}
		if len(names) == 0 || l.byController(names[0]) != nil {
			return
		}
		l.v1 = append(l.v1, &hierarchy{dir: dir, controllers: names, own: below(dir, root, path)})
	}
}

func below(dir, root, path string) string {
	if rest, ok := strings.CutPrefix(path, root); ok {
		path = rest
	}
	return filepath.Join(dir, path)
}

// ownGroups reads /proc/thread-self/cgroup: controller (or name=x, or "" for
// the unified tree) to path.
func ownGroups() (map[string]string, error) {
	b, err := os.ReadFile("/proc/thread-self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("read own cgroups: %w", err)
	}
	own := map[string]string{}
	for line := range strings.Lines(string(b)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for _, name := range strings.Split(parts[1], ",") {
			own[name] = parts[2]
		}
	}
	return own, nil
}

func (l *Layout) byController(name string) *hierarchy {
	for _, h := range l.v1 {
		if slices.Contains(h.controllers, name) {
			return h
		}
	}
	if l.unified != nil && slices.Contains(l.unified.controllers, name) {
		return l.unified
	}
	return nil
}

// tracker is the hierarchy that every container has a group in.
func (l *Layout) tracker() *hierarchy {
	if l.unified != nil {
		return l.unified
	}
	for _, name := range []string{"freezer", "pids", "name=systemd"} {
		if h := l.byController(name); h != nil {
			return h
		}
	}
	return nil
}

func (l *Layout) all() []*hierarchy {
	all := slices.Clone(l.v1)
	if l.unified != nil {
		all = append(all, l.unified)
	}
	return all
}

// Mode names the kind of host: "v1", "v2", "hybrid" or "none".
func (l *Layout) Mode() string {
	switch {
	case l.unified == nil && len(l.v1) == 0:
		return "none"
	case l.unified == nil:
		return "v1"
	case len(l.v1) == 0:
		return "v2"
	}
	return "hybrid"
}

// Has reports whether a controller can be used.
func (l *Layout) Has(controller string) bool { return l.byController(controller) != nil }
