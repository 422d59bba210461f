package supervise

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"devstack/engine/container"
)

// SetPrepare has fn called before a container of the project starts, with a way
// to its root; nil: no longer. An error keeps the container from starting.
func (p *Project) SetPrepare(fn func(ctx context.Context, u *Unit, withRoot func(func(root string) error) error) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.prepare = fn
}

func (u *Unit) prepare(ctx context.Context) error {
	u.p.mu.Lock()
	fn := u.p.prepare
	u.p.mu.Unlock()
	if fn == nil || u.oneOff {
		return nil
	}
	return fn(ctx, u, u.withMountedRoot)
}

// WithRoot calls fn with a path to the container's root: as its process sees
// it, or without volumes and binds where it has none.
func (u *Unit) WithRoot(fn func(root string) error) error {
	if c := u.Process(); c != nil {
		err := fn(rootOf(c))
		if err == nil || u.Process() == c && hasRoot(c) {
			return err
		}
	}
	defer u.lockStill()()
	if c := u.Process(); c != nil && hasRoot(c) {
		return fn(rootOf(c))
	}
	return u.withMountedRoot(fn)
}

// lockStill keeps the container from being started, by anybody or by itself,
// until unlock is called: an upper directory may be in one overlay at a time.
func (u *Unit) lockStill() (unlock func()) {
	u.op.Lock()
	r := u.currentRun()
	if r == nil {
		return u.op.Unlock
	}
	r.launching.Lock()
	return func() {
		r.launching.Unlock()
		u.op.Unlock()
	}
}

// hasRoot is false for a process that is dead, which may not be known yet.
func hasRoot(c *container.Container) bool {
	_, err := os.Stat(rootOf(c) + "/.")
	return err == nil
}

func rootOf(c *container.Container) string { return "/proc/" + strconv.Itoa(c.PID()) + "/root" }

// withMountedRoot mounts the root of a container that has no process.
func (u *Unit) withMountedRoot(fn func(root string) error) error {
	if u.isGone() || len(u.snap.Lower) == 0 {
		return fmt.Errorf("container %s has no root", u.name)
	}
	root, err := container.MountRoot(container.RootFS{Lower: u.snap.Lower, Upper: u.snap.Upper, Work: u.snap.Work})
	if err != nil {
		return err
	}
	defer root.Close()
	return fn("/proc/self/fd/" + strconv.Itoa(int(root.Fd())))
}
