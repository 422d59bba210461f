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
	v2          bool
}

// Layout is the host's mounted hierarchies, read once.
type Layout struct {
	unified *hierarchy
	v1      []*hierarchy
}

// Probe reads the mounted hierarchies of this process.
func Probe() (*Layout, error) {
	known, err := controllers()
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
		l.addMount(lines.Text(), known)
	}
	return l, nil
}

// addMount takes one line of mountinfo(5):
//
//	36 35 98:0 /root /dir rw,relatime shared:1 - cgroup cgroup rw,memory
func (l *Layout) addMount(line string, known map[string]bool) {
	head, tail, ok := strings.Cut(line, " - ")
	fields, kind := strings.Fields(head), strings.Fields(tail)
	if !ok || len(fields) < 5 || len(kind) < 3 {
		return
	}
	dir := fields[4]
	switch kind[0] {
	case "cgroup2":
		if l.unified != nil {
			return
		}
		l.unified = &hierarchy{dir: dir, v2: true}
		b, _ := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
		l.unified.controllers = strings.Fields(string(b))
	case "cgroup":
		var names []string
		for _, o := range strings.Split(kind[2], ",") {
			if known[o] && o != "" {
				names = append(names, o)
			}
		}
		if len(names) == 0 || l.byController(names[0]) != nil {
			return
		}
		l.v1 = append(l.v1, &hierarchy{dir: dir, controllers: names})
	}
}

// controllers reads the names of v1's controllers (or name=x, or "" for the
// unified tree) from /proc/thread-self/cgroup.
func controllers() (map[string]bool, error) {
	b, err := os.ReadFile("/proc/thread-self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("read own cgroups: %w", err)
	}
	known := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for _, name := range strings.Split(parts[1], ",") {
			known[name] = true
		}
	}
	return known, nil
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
