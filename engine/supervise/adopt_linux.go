package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"devstack/engine/api"
	"devstack/engine/container"
	"devstack/engine/container/child"
	"devstack/engine/image/snapshot"
	"devstack/engine/logs"
	"devstack/engine/spec"
	"devstack/engine/state"
)

// Adopt takes over a container that an engine before this one has made:
//
//	created, exited     it is there; one that goes with its process goes now
//	running, paused     it is watched on; one that was told to end comes to its end
//	running, but dead   its exit is taken and its restart policy holds
//	restarting          it starts again
//	removing            its removal goes on
//
// restored are the descriptors that the guard kept. Whatever goes wrong, the
// project has the container afterwards, so that it can be removed.
func (p *Project) Adopt(ctx context.Context, rec state.Container, restored map[string]*os.File) (running bool, err error) {
	u := newUnit(p, rec)
	err = u.reopen(ctx)
	p.addUnit(u)
	switch {
	case rec.State == api.StateRemoving:
		return false, errors.Join(err, u.finishRemoval(ctx))
	case rec.PID != 0 || rec.State == api.StateRestarting:
		running = u.resume(ctx, restored)
	case rec.AutoRemove:
		u.rec.DropVolumes = true
		return false, errors.Join(err, u.finishRemoval(ctx))
	}
	return running, err
}

// reopen finds the container's root, network place and journal again.
func (u *Unit) reopen(ctx context.Context) error {
	var errs []error
	var err error
	if u.snap, err = snapshot.Open(u.m.Roots.Data, u.id, u.rec.Image); err != nil {
		errs = append(errs, err)
	}
	if ownSandbox(&u.rec.Declared) {
		cfg, err := sandboxConfig(&u.rec.Declared)
		if err == nil {
			u.sandbox, err = u.m.Network.OpenSandbox(ctx, u.id, cfg)
		}
		errs = append(errs, err)
	}
	if u.journal, err = logs.Open(filepath.Join(u.dataDir(), "log"), u.logOptions(&u.rec.Declared)); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// resume takes up the watch over the container's process and reports whether
// there is one.
func (u *Unit) resume(ctx context.Context, restored map[string]*os.File) bool {
	r := newRun()
	u.mu.Lock()
	u.run = r
	u.runs++
	u.ports = true
	u.mu.Unlock()
	u.m.warn(u.reopenPorts(ctx))
	u.takeOutput(r, restored)
	if !u.rec.Wanted {
		r.stop()
	}
	if u.rec.PID == 0 { // between two processes
		go u.watchAgain(r)
		return true
	}
	if u.rec.Started.IsZero() && unborn(u.rec.PID) {
		u.m.warn(u.m.Runtime.Sweep(ctx, func(id string) bool { return id != u.id }))
		u.forgetStart(r)
		return false
	}
	c, err := u.adoptProcess(ctx)
	if err != nil {
		if !errors.Is(err, container.ErrNotRunning) {
			u.m.warn(err) // what cannot be watched must not go on unseen
		}
		// The group of a dead process is there yet, and perhaps others in it.
		u.m.warn(u.m.Runtime.Sweep(ctx, func(id string) bool { return id != u.id }))
		go u.watchDead(r)
		return false
	}
	r.set(c)
	if u.rec.Started.IsZero() { // its engine died just then
		u.update(func(s *state.Run) { s.Started = time.Now() })
	}
	u.announce()
	go u.watch(r)
	if r.halted() { // it was being stopped
		go func() { u.m.warn(u.Stop(context.Background(), nil)) }()
	}
	return true
}

// unborn reports whether the process was waiting to be told to execute its
// program when its engine died: then it never will.
func unborn(pid int) bool {
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	// Our reaper looks the same, but has no line to an engine.
	line, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, child.FDSocket))
	return bytes.HasPrefix(args, []byte("devstack\x00child\x00")) && err == nil && strings.HasPrefix(line, "socket:")
}

// forgetStart makes a container whose start was cut short what it was before.
func (u *Unit) forgetStart(r *run) {
	u.drainOutput(r)
	r.stop()
	u.update(func(s *state.Run) {
		s.State, s.PID, s.StartTime, s.Exit, s.Health, s.Wanted = api.StateCreated, 0, 0, nil, "", false
	})
	close(r.ended)
	u.releasePorts()
}

// reopenPorts opens the published ports where they were, also those whose
// number the user left free.
func (u *Unit) reopenPorts(ctx context.Context) error {
	if len(u.rec.Published) == 0 {
		return nil
	}
	open, err := u.p.Republish(ctx, &u.rec)
	if err != nil {
		return fmt.Errorf("publish ports of container %s again: %w", u.name, err)
	}
	u.mu.Lock()
	u.rec.Published = open
	u.mu.Unlock()
	return nil
}

// watchDead is watch for a process that ended while there was no engine.
func (u *Unit) watchDead(r *run) {
	var exit container.Exit
	if known := u.rec.Exit; known != nil {
		exit = container.Exit{Code: known.Code, OOMKilled: known.OOMKilled}
	} else {
		exit = u.m.exitOfDead(u.rec.PID, u.rec.StartTime)
	}
	if u.rec.Started.IsZero() {
		if exit.Code == child.ExitUntold || exit.Code == unknownExit {
			u.forgetStart(r)
			return
		}
		u.update(func(s *state.Run) { s.Started = time.Now() }) // it ran, and was quick
	}
	policy, attempts := policyOf(&u.rec.Declared), u.rec.Restarts
	if policy.stable(time.Since(u.rec.Started)) {
		attempts = 0
	}
	delay, again := policy.next(exit.Code, 0, attempts)
	again = again && !r.halted()
	u.reap(context.Background(), r, exit, again)
	if again && u.relaunch(context.Background(), r, delay) {
		u.watch(r)
		return
	}
	u.ended(r)
}

// watchAgain is watch for a run that was between two processes.
func (u *Unit) watchAgain(r *run) {
	u.drainOutput(r)
	if u.relaunch(context.Background(), r, firstBackoff) {
		u.watch(r)
		return
	}
	u.ended(r)
}

// takeOutput goes on with the container's streams: the guard's descriptors, or
// the FIFOs that are still in place. A terminal is gone with the guard.
func (u *Unit) takeOutput(r *run, restored map[string]*os.File) {
	r.out = &output{readers: map[string]*os.File{}, streams: map[string]string{}}
	take := func(name string) *os.File {
		f := restored[name]
		delete(restored, name)
		return f
	}
	if f := take(keptStdin(u.id)); f != nil {
		r.setStdin(f)
	}
	if u.rec.Declared.TTY {
		if console := take(keptOutput(u.id, ttyStream)); console != nil {
			u.m.warn(u.followOutput(r, console))
		}
		return
	}
	dir, err := u.m.Records.ContainerDir(u.p.Name, u.id)
	u.m.warn(err)
	for _, stream := range []string{"stdout", "stderr"} {
		f := take(keptOutput(u.id, stream))
		if f == nil {
			f, err = logs.OpenPipe(filepath.Join(dir, stream))
			if err != nil {
				if !errors.Is(err, os.ErrNotExist) {
					u.m.warn(err)
				}
				continue
			}
		}
		r.out.add(u, stream, stream, f)
	}
	u.m.warn(u.followOutput(r, nil))
}

// adoptProcess finds the container's process again. Its spec is made anew as
// far as an exec needs it: the seccomp filter.
func (u *Unit) adoptProcess(ctx context.Context) (*container.Container, error) {
	sp, err := u.confinement()
	if err != nil {
		return nil, err
	}
	return u.m.Runtime.Adopt(ctx, container.AdoptConfig{
		ID: u.id, PID: u.rec.PID, StartTime: u.rec.StartTime, CgroupsPath: u.cgroupPath(), Spec: sp,
	})
}

// confinement is the container's spec without what only its birth needs and
// what may be gone by now: mounts, devices, accounts.
func (u *Unit) confinement() (*specs.Spec, error) {
	s := u.rec.Declared
	s.Devices, s.GPUs, s.Deploy, s.BlkioConfig = nil, nil, nil, nil
	_, meta := u.p.Declared()
	return spec.Build(spec.Input{
		Service: &s, Image: u.rec.Image, Hostname: u.hostname(), CgroupPath: u.cgroupPath(), ProjectDir: meta.WorkingDir,
	})
}
