package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"devstack/engine/api"
	"devstack/engine/container"
	"devstack/engine/image/snapshot"
	"devstack/engine/logs"
	"devstack/engine/state"
)

// Adopt takes over a container that an engine before this one has made:
// running, it is watched on; dead meanwhile, its exit is taken and its restart
// policy holds. restored are the descriptors that the guard kept.
func (p *Project) Adopt(ctx context.Context, rec state.Container, restored map[string]*os.File) (running bool, err error) {
	u := newUnit(p, rec)
	if u.snap, err = snapshot.Open(p.m.Roots.Data, u.id, rec.Image); err != nil {
		return false, err
	}
	if ownSandbox(&rec.Declared) {
		cfg, err := sandboxConfig(&rec.Declared)
		if err != nil {
			return false, err
		}
		if u.sandbox, err = p.m.Network.OpenSandbox(ctx, u.id, cfg); err != nil {
			return false, err
		}
	}
	if u.journal, err = logs.Open(filepath.Join(u.dataDir(), "log"), u.logOptions(&rec.Declared)); err != nil {
		return false, err
	}
	p.addUnit(u)
	switch {
	case rec.State == api.StateRemoving:
		return false, u.finishRemoval(ctx)
	case rec.PID == 0 && rec.State != api.StateRestarting:
		return false, nil
	}
	return u.resume(ctx, restored)
}

// finishRemoval goes on with a removal that a death cut short.
func (u *Unit) finishRemoval(ctx context.Context) error {
	err := u.discard(ctx, nil)
	u.p.dropUnit(u)
	return err
}

// resume takes up the watch over the container's process.
func (u *Unit) resume(ctx context.Context, restored map[string]*os.File) (bool, error) {
	r := newRun()
	if !u.rec.Wanted {
		r.stop() // it was being stopped
	}
	u.mu.Lock()
	u.run = r
	u.runs++
	u.mu.Unlock()
	if err := u.takeOutput(r, restored); err != nil {
		return false, err
	}
	if u.rec.PID == 0 { // between two restarts
		go u.watchAgain(r)
		return true, nil
	}
	if len(u.rec.Published) > 0 {
		if _, err := u.p.Publish(ctx, &u.rec.Declared, u.number, portOwner(&u.rec)); err != nil {
			u.m.warn(fmt.Errorf("container %s: %w", u.name, err))
		}
	}
	c, err := u.adoptProcess(ctx)
	if errors.Is(err, container.ErrNotRunning) {
		go u.watchDead(r)
		return false, nil
	}
	if err != nil {
		close(r.ended)
		return false, err
	}
	r.set(c)
	u.announce()
	go u.watch(r)
	return true, nil
}

// watchDead is watch for a process that ended while there was no engine.
func (u *Unit) watchDead(r *run) {
	exit := u.m.exitOfDead(u.rec.PID, u.rec.StartTime)
	delay, again := policyOf(&u.rec.Declared).next(exit.Code, 0, 0)
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
	if u.relaunch(context.Background(), r, firstBackoff) {
		u.watch(r)
		return
	}
	u.ended(r)
}

// takeOutput goes on with the container's streams: the guard's descriptors, or
// the FIFOs that are still in place.
func (u *Unit) takeOutput(r *run, restored map[string]*os.File) error {
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
		console := take(keptOutput(u.id, ttyStream))
		if console == nil {
			return nil // its terminal went with the guard
		}
		return u.followOutput(r, console)
	}
	dir, err := u.m.Records.ContainerDir(u.p.Name, u.id)
	if err != nil {
		return err
	}
	for _, stream := range []string{"stdout", "stderr"} {
		f := take(keptOutput(u.id, stream))
		if f == nil {
			if f, err = logs.OpenPipe(filepath.Join(dir, stream)); errors.Is(err, os.ErrNotExist) {
				continue
			} else if err != nil {
				return err
			}
		}
		r.out.add(u, stream, stream, f)
	}
	return u.followOutput(r, nil)
}

// adoptProcess finds the container's process again. Its spec is made anew: an
// exec needs the seccomp filter.
func (u *Unit) adoptProcess(ctx context.Context) (*container.Container, error) {
	cfg := container.AdoptConfig{ID: u.id, PID: u.rec.PID, StartTime: u.rec.StartTime, CgroupsPath: u.cgroupPath()}
	made, held, err := u.config(ctx)
	for _, f := range held {
		f.Close()
	}
	if err == nil {
		cfg.Spec = made.Spec
	}
	u.m.warn(err)
	return u.m.Runtime.Adopt(ctx, cfg)
}
