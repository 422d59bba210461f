package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Kill sends SIGKILL to every process of the group and waits for nothing.
func (g *Group) Kill() error {
	if g.dir != nil {
		err := write(filepath.Join(g.dir.Name(), "cgroup.kill"), "1")
		if err == nil || errors.Is(err, unix.ENODEV) {
			return nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("kill cgroup %q: %w", g.path, err)
		}
		if _, gone := os.Stat(g.dir.Name()); gone != nil {
			return nil
		}
	}
	return g.killEach()
}

// killEach is for kernels before 5.14 and for v1: freeze, so that nothing forks
// away meanwhile, kill, thaw.
func (g *Group) killEach() error {
	frozen := g.freeze(true)
	pids, err := g.Procs()
	for _, pid := range pids {
		if e := unix.Kill(pid, unix.SIGKILL); e != nil && !errors.Is(e, unix.ESRCH) {
			err = errors.Join(err, fmt.Errorf("kill %d: %w", pid, e))
		}
	}
	if frozen == nil {
		err = errors.Join(err, g.freeze(false))
	}
	return err
}

// Freeze stops every process of the group and returns when all have stopped.
func (g *Group) Freeze(ctx context.Context) error {
	if err := g.freeze(true); err != nil {
		return fmt.Errorf("freeze cgroup %q: %w", g.path, err)
	}
	return g.awaitFrozen(ctx)
}

// Thaw lets them run again.
func (g *Group) Thaw() error {
	if err := g.freeze(false); err != nil {
		return fmt.Errorf("thaw cgroup %q: %w", g.path, err)
	}
	return nil
}

func (g *Group) freeze(on bool) error {
	if g.dir != nil {
		return write(filepath.Join(g.dir.Name(), "cgroup.freeze"), pick(on, "1", "0"))
	}
	h := g.layout.byController("freezer")
	if h == nil || !slices.Contains(g.trees, h) {
		return fmt.Errorf("%w: freezer", ErrUnavailable)
	}
	return write(filepath.Join(h.dir+g.path, "freezer.state"), pick(on, "FROZEN", "THAWED"))
}

// awaitFrozen: v1 has no event for it, and freezes on the processes' next way
// out of the kernel; there the write alone must do.
func (g *Group) awaitFrozen(ctx context.Context) error {
	if g.dir == nil {
		return nil
	}
	return g.await(ctx, "frozen 1")
}

// Frozen reports whether the group is stopped.
func (g *Group) Frozen() (bool, error) {
	if g.dir != nil {
		b, err := os.ReadFile(filepath.Join(g.dir.Name(), "cgroup.freeze"))
		return strings.TrimSpace(string(b)) == "1", ignoreGone(err)
	}
	h := g.layout.byController("freezer")
	if h == nil || !slices.Contains(g.trees, h) {
		return false, nil
	}
	b, err := os.ReadFile(filepath.Join(h.dir+g.path, "freezer.state"))
	return strings.TrimSpace(string(b)) != "THAWED" && err == nil, ignoreGone(err)
}

// await returns when cgroup.events has the line. The kernel raises IN_MODIFY
// when that file's content changes.
func (g *Group) await(ctx context.Context, line string) error {
	file := filepath.Join(g.dir.Name(), "cgroup.events")
	has := func() (bool, error) {
		b, err := os.ReadFile(file)
		if gone := ignoreGone(err); gone == nil && err != nil {
			return true, nil
		}
		return slices.Contains(strings.Split(string(b), "\n"), line), err
	}
	if ok, err := has(); ok || err != nil {
		return err
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watch %q: %w", file, err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	defer events.Close()
	if _, err := unix.InotifyAddWatch(fd, file, unix.IN_MODIFY); err != nil {
		return ignoreGone(fmt.Errorf("watch %q: %w", file, err))
	}
	defer context.AfterFunc(ctx, func() { events.Close() })()
	buf := make([]byte, 4096)
	for {
		if ok, err := has(); ok || err != nil {
			return err
		}
		if _, err := events.Read(buf); err != nil {
			return errors.Join(fmt.Errorf("watch %q: %w", file, err), context.Cause(ctx))
		}
	}
}

// Remove waits until the group is empty and removes it, with groups below it
// and parents that have become empty. It is no error if it is gone.
func (g *Group) Remove(ctx context.Context) error {
	if g.dir != nil {
		if err := g.await(ctx, "populated 0"); err != nil {
			return fmt.Errorf("remove cgroup %q: %w", g.path, err)
		}
	}
	var errs []error
	for _, h := range g.trees {
		if err := g.removeFrom(ctx, h); err != nil {
			errs = append(errs, fmt.Errorf("remove cgroup %q: %w", h.dir+g.path, err))
		}
	}
	return errors.Join(errs...)
}

func (g *Group) removeFrom(ctx context.Context, h *hierarchy) error {
	dir := h.dir + g.path
	for {
		err := removeTree(dir)
		if errors.Is(err, unix.EBUSY) {
			// v1 without a unified tree: no event for emptiness, so wait for
			// the processes themselves.
			pids, perr := procs(dir)
			if perr == nil && len(pids) > 0 {
				if err := awaitExit(ctx, pids[0]); err != nil {
					return err
				}
				continue
			}
		}
		if err != nil {
			return err
		}
		break
	}
	foreign := parentsOf(g.path)
	for p := filepath.Dir(g.path); p != "/"; p = filepath.Dir(p) {
		if slices.Contains(foreign, p) && !marked(h.dir+p) {
			break // somebody else's, who may want it empty
		}
		if unix.Rmdir(h.dir+p) != nil {
			break // others are below it
		}
	}
	return nil
}

func removeTree(dir string) error {
	err := unix.Rmdir(dir)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	entries, rerr := os.ReadDir(dir)
	if rerr != nil {
		return ignoreGone(rerr)
	}
	below := false
	for _, e := range entries {
		if e.IsDir() {
			below = true
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if below {
		err = unix.Rmdir(dir)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

func awaitExit(ctx context.Context, pid int) error {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("wait for %d: %w", pid, err)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	defer context.AfterFunc(ctx, func() { f.Close() })()
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	rerr := conn.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 || err != nil
	})
	if rerr != nil {
		return errors.Join(rerr, context.Cause(ctx))
	}
	return nil
}

// Sweep removes the groups two levels below root ("/root/project/container")
// whose container is not kept, killing what is left in them; also where root
// itself lies below another group, as deep as such parents usually are.
func (l *Layout) Sweep(ctx context.Context, root string, keep func(container string) bool) error {
	if err := check(root); err != nil {
		return err
	}
	paths := map[string]bool{}
	for _, h := range l.all() {
		for _, parent := range []string{"", "/*", "/*/*", "/*/*/*"} {
			found, _ := filepath.Glob(h.dir + parent + root + "/*/*/cgroup.procs")
			for _, file := range found {
				path := strings.TrimPrefix(filepath.Dir(file), h.dir)
				paths[path] = !keep(filepath.Base(path))
			}
		}
	}
	var errs []error
	for path, sweep := range paths {
		if !sweep {
			continue
		}
		g, err := l.Find(path)
		if err == nil {
			err = errors.Join(g.Kill(), g.Remove(ctx), g.Close())
		}
		errs = append(errs, err)
	}
	for _, h := range l.all() { // projects, and the root, that are empty now
		projects, _ := filepath.Glob(h.dir + root + "/*/cgroup.procs")
		for _, file := range projects {
			unix.Rmdir(filepath.Dir(file))
		}
		unix.Rmdir(h.dir + root)
	}
	return errors.Join(errs...)
}
