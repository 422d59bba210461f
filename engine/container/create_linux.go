package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"devstack/engine/cgroup"
	"devstack/engine/container/child"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Container is one container, created or adopted. Its methods are safe for
// concurrent use.
type Container struct {
	rt      *Runtime
	id      string
	group   *cgroup.Group // nil without a cgroups path
	process *process
	console *os.File
	seccomp []byte
	flags   int // of seccomp

	mu      sync.Mutex // guards newborn, and keeps Exec and Pause apart
	newborn *newborn   // until Start
}

// Create makes the container up to OCI's "created": its process exists, all is
// set up, and it waits for Start. On error nothing is left.
func (rt *Runtime) Create(ctx context.Context, c Config) (*Container, error) {
	if err := checkID(c.ID); err != nil {
		return nil, err
	}
	if err := supported(c.Spec); err != nil {
		return nil, err
	}
	k := &Container{rt: rt, id: c.ID}
	if err := k.bear(ctx, c); err != nil {
		return nil, errors.Join(err, k.removeGroup(context.WithoutCancel(ctx)))
	}
	go k.process.watch(k.noteOOM)
	return k, nil
}

func checkID(id string) error {
	if len(id) != 64 {
		return fmt.Errorf("check container id %q: want 64 hex digits", id)
	}
	for _, c := range id {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return fmt.Errorf("check container id %q: want 64 hex digits", id)
		}
	}
	return nil
}

// bear mounts the root while the rest goes on: the cgroup is made, the child is
// forked and starts, and gets the root with its program.
func (k *Container) bear(ctx context.Context, c Config) (err error) {
	root := mountAside(c)
	defer root.release()
	if path := c.Spec.Linux.CgroupsPath; path != "" {
		if k.group, err = k.rt.layout.Make(path, c.Spec.Linux.Resources); err != nil {
			return err
		}
	}
	program, err := k.rt.compile(c, k.group)
	if err != nil {
		return err
	}
	n, err := k.rt.bear(ctx, birth{
		program: program, group: k.group, stdio: [3]*os.File{c.Stdin, c.Stdout, c.Stderr},
		root: root.wait, newPID: makesPID(c.Spec),
	})
	if err != nil {
		return err
	}
	k.newborn, k.process, k.console = n, n.process, n.console
	k.seccomp, k.flags = program.Process.Seccomp, program.Process.SeccompFlag
	return nil
}

// aside is a root that is being mounted.
type aside struct {
	done chan struct{}
	file *os.File
	err  error
	ours bool
}

func mountAside(c Config) *aside {
	a := &aside{done: make(chan struct{}), file: c.RootMount, ours: c.RootMount == nil}
	if !a.ours {
		close(a.done)
		return a
	}
	go func() {
		defer close(a.done)
		a.file, a.err = MountRoot(c.Root)
	}()
	return a
}

func (a *aside) wait() (*os.File, error) {
	<-a.done
	return a.file, a.err
}

// release waits for the mount, too: nobody else knows of it.
func (a *aside) release() {
	if f, err := a.wait(); err == nil && a.ours {
		f.Close()
	}
}

func makesPID(s *specs.Spec) bool {
	for _, n := range s.Linux.Namespaces {
		if n.Type == specs.PIDNamespace && n.Path == "" {
			return true
		}
	}
	return false
}

// Start executes the process. What execve has to say comes back as *ChildError;
// the process has then ended.
func (k *Container) Start(ctx context.Context) error {
	k.mu.Lock()
	n := k.newborn
	k.newborn = nil
	k.mu.Unlock()
	if n == nil {
		return errors.New("start container: it is not waiting to be started")
	}
	if err := n.start(ctx); err != nil {
		k.process.signal(unix.SIGKILL)
		return err
	}
	return nil
}

// ID is the container's id.
func (k *Container) ID() string { return k.id }

// PID is the pid of its first process in the engine's namespace.
func (k *Container) PID() int { return k.process.pid }

// StartTime identifies the process together with PID, for Adopt.
func (k *Container) StartTime() uint64 { return k.process.start }

// PidFD refers to the first process. It belongs to the container.
func (k *Container) PidFD() *os.File { return k.process.pidfd }

// Console is the master of the terminal, nil without one. The caller may read,
// write and close it.
func (k *Container) Console() *os.File { return k.console }

// Wait returns when the first process has ended. It may be called often.
func (k *Container) Wait(ctx context.Context) (Exit, error) { return k.process.wait(ctx) }

// noteOOM runs when the process has ended, before anybody learns of it.
func (k *Container) noteOOM() {
	if k.group != nil && k.group.OOMKills() > 0 {
		k.process.exit.OOMKilled = true
	}
}

// Signal sends sig to the first process.
func (k *Container) Signal(sig unix.Signal) error {
	if k.process.ended() {
		return ErrNotRunning
	}
	return k.process.signal(sig)
}

// Kill kills everything in the container, frozen or not, and waits until its
// first process has ended.
func (k *Container) Kill(ctx context.Context) error {
	var err error
	if k.group != nil {
		err = k.group.Kill()
	}
	// Without a group of its own the pid namespace dies with its first process.
	if e := k.process.signal(unix.SIGKILL); e != nil && !errors.Is(e, ErrNotRunning) {
		err = errors.Join(err, e)
	}
	if err != nil {
		return fmt.Errorf("kill container: %w", err)
	}
	_, err = k.process.wait(ctx)
	if errors.Is(err, ErrUnknownExit) {
		err = nil
	}
	return err
}

// Pause stops all processes and returns when they have stopped.
func (k *Container) Pause(ctx context.Context) error {
	if k.group == nil {
		return fmt.Errorf("pause container: %w", cgroup.ErrUnavailable)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.group.Freeze(ctx)
}

// Resume lets them run again.
func (k *Container) Resume(context.Context) error {
	if k.group == nil {
		return fmt.Errorf("resume container: %w", cgroup.ErrUnavailable)
	}
	return k.group.Thaw()
}

// Paused reports whether the container is stopped.
func (k *Container) Paused() (bool, error) {
	if k.group == nil {
		return false, nil
	}
	return k.group.Frozen()
}

// Stats reads the use of resources.
func (k *Container) Stats() (Stats, error) {
	if k.group == nil {
		return Stats{}, fmt.Errorf("read stats: %w", cgroup.ErrUnavailable)
	}
	s := k.group.Stats()
	if !s.MemoryCounts || s.PIDs == 0 {
		pids, err := k.group.Procs()
		if err != nil {
			return s, fmt.Errorf("read stats: %w", err)
		}
		if s.PIDs == 0 {
			s.PIDs = uint64(len(pids))
		}
		if !s.MemoryCounts {
			s.MemoryUsage = proportional(pids)
		}
	}
	return s, nil
}

// Processes lists the pids of the container in the engine's namespace.
func (k *Container) Processes() ([]int, error) {
	if k.group == nil {
		if k.process.ended() {
			return nil, nil
		}
		return []int{k.process.pid}, nil
	}
	return k.group.Procs()
}

// Delete kills what is left and removes the cgroup. It may be called again.
func (k *Container) Delete(ctx context.Context) error {
	k.mu.Lock()
	n := k.newborn
	k.newborn = nil
	k.mu.Unlock()
	if n != nil {
		n.wire.close()
	}
	if err := k.Kill(ctx); err != nil {
		return err
	}
	if err := k.removeGroup(ctx); err != nil {
		return err
	}
	if k.console != nil {
		k.console.Close()
	}
	k.process.close()
	return nil
}

func (k *Container) removeGroup(ctx context.Context) error {
	if k.group == nil {
		return nil
	}
	if err := k.group.Remove(ctx); err != nil {
		return err
	}
	k.group.Close()
	return nil
}

// program for joining this container.
func (k *Container) entry() *child.Program {
	return &child.Program{Name: k.id, Target: child.FDTarget}
}
