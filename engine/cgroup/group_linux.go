package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Group is one container's place in every hierarchy that it needs.
type Group struct {
	layout *Layout
	path   string
	trees  []*hierarchy
	dir    *os.File // of the unified tree; nil without one
}

// Make makes the groups that res needs, plus the tracking one, and sets the
// limits. On error nothing is left.
func (l *Layout) Make(path string, res *specs.LinuxResources) (*Group, error) {
	if err := check(path); err != nil {
		return nil, err
	}
	g := &Group{layout: l, path: path}
	if t := l.tracker(); t != nil {
		g.trees = append(g.trees, t)
	}
	settings, err := limits(l, res)
	if err != nil {
		return nil, err
	}
	for _, s := range settings {
		if h := l.byController(s.controller); !slices.Contains(g.trees, h) {
			g.trees = append(g.trees, h)
		}
	}
	for _, h := range l.all() { // a parent's limits hold for what is below it
		if parents := parentsOf(path); len(parents) > 0 && !slices.Contains(g.trees, h) && exists(h.dir+parents[len(parents)-1]) {
			g.trees = append(g.trees, h)
		}
	}
	if err := g.make(settings, res); err != nil {
		return nil, errors.Join(err, g.Remove(context.Background()), g.Close())
	}
	return g, nil
}

// check keeps a path from outside inside the hierarchy.
func check(path string) error {
	if !strings.HasPrefix(path, "/") || filepath.Clean(path) != path || path == "/" {
		return fmt.Errorf("check cgroup path %q: must be absolute, clean and not the root", path)
	}
	return nil
}

func (g *Group) make(settings []setting, res *specs.LinuxResources) error {
	for _, h := range g.trees {
		if err := makeDir(h, g.path); err != nil {
			return fmt.Errorf("create cgroup %q: %w", h.dir+g.path, err)
		}
	}
	if err := g.enable(settings); err != nil {
		return err
	}
	if res != nil && res.CPU != nil && res.CPU.RealtimeRuntime != nil && *res.CPU.RealtimeRuntime > 0 {
		if err := reserveRealtime(g.layout.byController("cpu"), g.path, res.CPU); err != nil {
			return err
		}
	}
	if err := g.set(settings); err != nil {
		return err
	}
	if err := g.openDir(); err != nil {
		return err
	}
	if res != nil && len(res.Devices) > 0 && !g.layout.Has("devices") && g.dir != nil {
		return attachDeviceFilter(g.dir, res.Devices)
	}
	return nil
}

func (g *Group) openDir() error {
	u := g.layout.unified
	if u == nil || !slices.Contains(g.trees, u) {
		return nil
	}
	fd, err := unix.Open(u.dir+g.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open cgroup %q: %w", u.dir+g.path, err)
	}
	g.dir = os.NewFile(uintptr(fd), u.dir+g.path)
	return nil
}

// makeDir makes path with its parents. Another container's Remove may take an
// empty parent away meanwhile.
func makeDir(h *hierarchy, path string) error {
	const tries = 10
	var err error
	for range tries {
		if err = makeLevels(h, path); !errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	if err == nil && slices.Contains(h.controllers, "cpuset") && !h.v2 {
		err = inheritCpuset(h, path)
	}
	return err
}

// inheritCpuset fills cpus and mems from the top: v1 makes them empty, and an
// empty set accepts no process.
func inheritCpuset(h *hierarchy, path string) error {
	dir := h.dir
	for _, name := range strings.Split(strings.Trim(path, "/"), "/") {
		parent := dir
		dir = filepath.Join(dir, name)
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			have, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				return err
			}
			if strings.TrimSpace(string(have)) != "" {
				continue
			}
			value, err := os.ReadFile(filepath.Join(parent, file))
			if err == nil {
				err = write(filepath.Join(dir, file), strings.TrimSpace(string(value)))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// enable turns the needed v2 controllers on, from the top to the parent.
func (g *Group) enable(settings []setting) error {
	u := g.layout.unified
	if u == nil {
		return nil
	}
	var want []string
	for _, s := range settings {
		if g.layout.byController(s.controller) == u && !slices.Contains(want, "+"+s.controller) {
			want = append(want, "+"+s.controller)
		}
	}
	if len(want) == 0 {
		return nil
	}
	dir := u.dir
	for _, name := range strings.Split(strings.Trim(g.path, "/"), "/") {
		file := filepath.Join(dir, "cgroup.subtree_control")
		err := write(file, strings.Join(want, " "))
		if errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("enable cgroup controllers %v in %q: %w (processes live in this group itself; move them to a group below)", want, dir, err)
		}
		if err != nil {
			return fmt.Errorf("enable cgroup controllers %v in %q: %w", want, dir, err)
		}
		dir = filepath.Join(dir, name)
	}
	return nil
}

func (g *Group) set(settings []setting) error {
	var to control
	defer to.close()
	for _, s := range settings {
		h := g.layout.byController(s.controller)
		err := to.write(filepath.Join(h.dir+g.path, s.file), s.value)
		if err != nil && s.optional && (errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, os.ErrPermission)) {
			continue
		}
		if err != nil {
			return fmt.Errorf("set %s to %q: %w", s.file, s.value, err)
		}
	}
	return nil
}

// control is a control file. It stays open while writes go to the same one: a
// list of device rules is a dozen.
type control struct {
	file string
	fd   int
}

// write opens without O_CREAT and writes at once, as control files want it.
func (c *control) write(file, value string) error {
	if c.file != file {
		c.close()
		fd, err := unix.Open(file, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		c.file, c.fd = file, fd
	}
	_, err := unix.Pwrite(c.fd, []byte(value), 0)
	return err
}

func (c *control) close() {
	if c.file != "" {
		unix.Close(c.fd)
		c.file = ""
	}
}

func write(file, value string) error {
	var c control
	defer c.close()
	return c.write(file, value)
}

// Find returns the groups that exist at path, after the engine was restarted.
func (l *Layout) Find(path string) (*Group, error) {
	if err := check(path); err != nil {
		return nil, err
	}
	g := &Group{layout: l, path: path}
	for _, h := range l.all() {
		if _, err := os.Stat(h.dir + path); err == nil {
			g.trees = append(g.trees, h)
		}
	}
	return g, g.openDir()
}

// FD returns the descriptor for CLONE_INTO_CGROUP, or -1.
func (g *Group) FD() int {
	if g.dir == nil {
		return -1
	}
	return int(g.dir.Fd())
}

// Tasks opens the files by which a thread that writes "0" to them enters the v1
// groups. It does not matter in which namespaces it is. The caller closes them,
// also those that come with an error.
func (g *Group) Tasks() ([]*os.File, error) {
	var files []*os.File
	for _, h := range g.trees {
		if h.v2 {
			continue
		}
		name := filepath.Join(h.dir+g.path, "tasks")
		fd, err := unix.Open(name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return files, fmt.Errorf("enter cgroup %q: %w", h.dir+g.path, err)
		}
		files = append(files, os.NewFile(uintptr(fd), name))
	}
	return files, nil
}

// Path is the group's name below every hierarchy's root.
func (g *Group) Path() string { return g.path }

// Dirs returns where the group's directories are, by mount point of their
// hierarchy: what a container's /sys/fs/cgroup shows.
func (g *Group) Dirs() map[string]string {
	dirs := map[string]string{}
	for _, h := range g.trees {
		dirs[h.dir] = h.dir + g.path
	}
	return dirs
}

// Unified reports whether this host has nothing but the unified tree.
func (g *Group) Unified() bool { return g.layout.Mode() == "v2" }

// Procs lists the processes of the group and of those below it.
func (g *Group) Procs() ([]int, error) {
	if len(g.trees) == 0 {
		return nil, nil
	}
	return procs(g.trees[0].dir + g.path)
}

func procs(dir string) ([]int, error) {
	var pids []int
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return ignoreGone(err)
		}
		b, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for _, f := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil {
				pids = append(pids, pid)
			}
		}
		return ignoreGone(err)
	})
	return pids, err
}

func ignoreGone(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// Close lets go of the descriptor; the groups stay.
func (g *Group) Close() error {
	if g.dir == nil {
		return nil
	}
	return g.dir.Close()
}
