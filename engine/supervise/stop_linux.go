package supervise

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/moby/sys/signal"
	"golang.org/x/sys/unix"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/container"
	"devstack/engine/image/snapshot"
	"devstack/engine/state"
)

// Stop ends the container: stop signal, then SIGKILL after the timeout. It
// returns when the process is gone. A stopped container is left alone. Once it
// has begun it comes to its end, even when ctx ends before.
func (u *Unit) Stop(ctx context.Context, timeout *compose.Duration) error {
	u.op.Lock()
	defer u.op.Unlock()
	return u.stopLocked(ctx, timeout)
}

func (u *Unit) stopLocked(ctx context.Context, timeout *compose.Duration) error {
	r := u.currentRun()
	if r == nil || !u.active() {
		return nil
	}
	u.update(func(s *state.Run) { s.Wanted = false })
	// A paused process would never see its signal.
	if c := r.current(); c != nil && u.Record().State == api.StatePaused {
		u.m.warn(c.Resume(context.WithoutCancel(ctx)))
	}
	u.beforeStop(ctx)
	limit := stopTimeout(&u.rec.Declared, timeout)
	if c := r.stop(); c != nil {
		sig := u.stopSignal()
		how := hearingOf(c.PID(), sig)
		if how == deaf {
			limit = u.graceOfDeaf(limit)
		}
		u.m.warn(ignoreGone(c.Signal(sig)))
		if how != hears {
			go func() { u.m.warn(repeat(r, c, sig, how)) }()
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- u.finishStop(context.WithoutCancel(ctx), r, limit) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// finishStop waits for the end of a run that was told to end, and forces it
// when its time is over.
func (u *Unit) finishStop(ctx context.Context, r *run, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-r.ended:
	case <-timer.C:
		if err := u.kill(ctx, r); err != nil {
			return err
		}
	}
	u.emit("stop")
	return nil
}

// kill ends every process of the container and waits for the run's end.
func (u *Unit) kill(ctx context.Context, r *run) error {
	if c := r.current(); c != nil {
		if err := ignoreGone(c.Kill(ctx)); err != nil {
			return fmt.Errorf("kill container %s: %w", u.name, err)
		}
	}
	select {
	case <-r.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Signal sends sig to the container's process; SIGKILL also ends restarts, as
// Docker's kill does.
func (u *Unit) Signal(ctx context.Context, sig unix.Signal) error {
	r := u.currentRun()
	var c *container.Container
	if r != nil {
		c = r.current()
	}
	if c == nil {
		return fmt.Errorf("container %s is not running", u.name)
	}
	if sig == unix.SIGKILL {
		u.update(func(s *state.Run) {
			if u.run == r { // not started again meanwhile
				s.Wanted = false
			}
		})
		r.stop()
	}
	u.emit("kill", "signal", unix.SignalName(sig))
	if err := ignoreGone(c.Signal(sig)); err != nil {
		return err
	}
	if sig != unix.SIGKILL {
		return nil
	}
	return u.kill(ctx, r)
}

// Restart stops the process and, once ready has returned, starts it again; the
// root, the network place and the volumes stay, and the published ports hold
// their clients meanwhile.
func (u *Unit) Restart(ctx context.Context, timeout *compose.Duration, ready func(context.Context) error) error {
	release := u.HoldPorts()
	defer release()
	whole := u.p.whole(ctx)
	u.divert(whole)
	if err := u.Stop(whole, timeout); err != nil {
		return err
	}
	if err := ready(ctx); err != nil {
		return err
	}
	u.takeOver()
	return u.Start(whole)
}

// Pause freezes the container.
func (u *Unit) Pause(ctx context.Context) error {
	return u.freeze(ctx, api.StateRunning, api.StatePaused)
}

// Resume thaws it.
func (u *Unit) Resume(ctx context.Context) error {
	return u.freeze(ctx, api.StatePaused, api.StateRunning)
}

func (u *Unit) freeze(ctx context.Context, from, to string) error {
	u.op.Lock()
	defer u.op.Unlock()
	c := u.Process()
	if c == nil || u.Record().State != from {
		return fmt.Errorf("container %s is not %s", u.name, from)
	}
	act, event := c.Pause, "pause"
	if to == api.StateRunning {
		act, event = c.Resume, "unpause"
	}
	if err := act(ctx); err != nil {
		return err
	}
	u.update(func(s *state.Run) {
		if s.State == from { // it has not ended meanwhile
			s.State = to
		}
		if to == api.StateRunning {
			u.thawed = time.Now()
		}
	})
	u.emit(event)
	return nil
}

// stopSignal is the service's, else the image's, else SIGTERM.
func (u *Unit) stopSignal() unix.Signal {
	sig, err := ParseSignal(firstOf(u.rec.Declared.StopSignal, u.rec.Image.Config.StopSignal, "SIGTERM"))
	if err != nil { // an image's nonsense must not make the container immortal
		u.m.warn(fmt.Errorf("stop container %s: %w", u.name, err))
		return unix.SIGTERM
	}
	return sig
}

// ParseSignal reads a signal's name, with or without SIG, or its number.
func ParseSignal(name string) (unix.Signal, error) {
	sig, err := signal.ParseSignal(name)
	if err != nil {
		return 0, fmt.Errorf("unknown signal %q", name)
	}
	return unix.Signal(sig), nil
}

// ignoreGone forgives a process that ended by itself.
func ignoreGone(err error) error {
	if errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrProcessDone) || errors.Is(err, container.ErrNotRunning) {
		return nil
	}
	return err
}

// Remove stops the container and frees all that it has; with volumes also its
// anonymous ones. What could not be freed is tried again by the next Remove.
func (u *Unit) Remove(ctx context.Context, timeout *compose.Duration, withVolumes bool) error {
	u.op.Lock()
	defer u.op.Unlock()
	if u.isGone() {
		return nil
	}
	if err := u.stopLocked(ctx, timeout); err != nil {
		return err
	}
	u.update(func(s *state.Run) { s.State, s.DropVolumes = api.StateRemoving, s.DropVolumes || withVolumes })
	if err := u.finishRemoval(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	u.emit("destroy")
	return nil
}

// finishRemoval removes a container that has no process.
func (u *Unit) finishRemoval(ctx context.Context) error {
	var anonymous []string
	if u.Record().DropVolumes {
		anonymous = slices.Collect(maps.Values(u.rec.Anonymous))
	}
	if err := u.discard(ctx, anonymous); err != nil {
		return fmt.Errorf("remove container %s: %w", u.name, err)
	}
	u.mu.Lock()
	u.gone = true
	u.mu.Unlock()
	err := u.m.Records.RemoveContainer(u.p.Name, u.id)
	u.p.dropUnit(u)
	return err
}

// removeOnce removes a container that asked to go with its process.
func (u *Unit) removeOnce() {
	u.m.warn(u.Remove(context.Background(), nil, true))
}

// discard frees what the container holds, but for its record; every step is
// tried, and it can be repeated. anonymous are the volumes that go with it.
func (u *Unit) discard(ctx context.Context, anonymous []string) error {
	var errs []error
	for _, ep := range u.rec.Endpoints {
		u.m.names.drop(ep.Network, u.id)
	}
	if u.sandbox != nil {
		errs = append(errs, u.m.Network.RemoveSandbox(ctx, u.id))
	}
	if u.journal != nil {
		errs = append(errs, u.journal.Close())
	}
	errs = append(errs, os.RemoveAll(filepath.Join(u.dataDir(), "log")), snapshot.Remove(u.m.Roots.Data, u.id))
	for _, name := range anonymous {
		errs = append(errs, u.m.Volumes.Remove(ctx, name))
	}
	return errors.Join(errs...)
}
