package container

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"devstack/engine/cgroup"
)

// Process is one that was started by Exec.
type Process struct {
	process *process
	console *os.File
	group   *cgroup.Group // of the container; may be nil
}

// joined are the namespaces that a process of Exec enters.
const joined = unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// Exec starts a process in the running container:
//
//	nursery - clone3, into the cgroup --> first half: outside, not traceable
//	                                        setns(pidfd, all namespaces)
//	                                        clone(CLONE_PARENT)
//	engine <------- pid ----------------- second half: inside, our child
//
// The first half never is in the container's pid namespace, so nothing inside
// can trace it while it holds our privileges.
func (k *Container) Exec(ctx context.Context, c ExecConfig) (*Process, error) {
	if c.Process == nil {
		return nil, errors.New("exec: process is missing")
	}
	if k.process.ended() {
		return nil, ErrNotRunning
	}
	p := k.entry()
	p.Fork, p.TargetNS = true, joined
	var err error
	if p.Process, err = compileProcess(c.Process); err != nil {
		return nil, err
	}
	if !c.Unconfined {
		p.Process.Seccomp, p.Process.SeccompFlag = k.seccomp, k.flags
	}
	if err := noZeroBytes(p); err != nil {
		return nil, err
	}
	n, err := k.execHalves(ctx, birth{
		program: p, group: k.group, target: k.process.pidfd,
		stdio: [3]*os.File{c.Stdin, c.Stdout, c.Stderr},
	})
	if err != nil {
		return nil, err
	}
	if err := n.start(ctx); err != nil {
		n.discard()
		return nil, err
	}
	go n.process.watch(n.process.close)
	return &Process{process: n.process, console: n.console, group: k.group}, nil
}

// execHalves holds off Pause: a child born into a frozen group would never
// answer.
func (k *Container) execHalves(ctx context.Context, b birth) (*newborn, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.newborn != nil {
		return nil, fmt.Errorf("exec: %w: it has not been started", ErrNotRunning)
	}
	if paused, err := k.Paused(); err != nil || paused {
		return nil, errors.Join(ErrPaused, err)
	}
	return k.rt.bear(ctx, b)
}

// PID is the process's pid in the engine's namespace.
func (p *Process) PID() int { return p.process.pid }

// Console is the master of its terminal, nil without one; the caller closes it.
func (p *Process) Console() *os.File { return p.console }

// Signal sends sig to it.
func (p *Process) Signal(sig unix.Signal) error {
	if p.process.ended() {
		return ErrNotRunning
	}
	return p.process.signal(sig)
}

// Wait returns when it has ended. It may be called often.
func (p *Process) Wait(ctx context.Context) (Exit, error) { return p.process.wait(ctx) }
