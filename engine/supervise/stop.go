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
// returns when the process is gone. A stopped container is left alone.
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
	r.stop()
	sig, err := u.stopSignal()
	if err != nil {
		return err
	}
	c := r.current()
	if c != nil {
		// A paused process would never see its signal.
		if u.Record().State == api.StatePaused {
			u.m.warn(c.Resume(ctx))
		}
		u.m.warn(ignoreGone(c.Signal(sig)))
	}
	timer := time.NewTimer(stopTimeout(&u.rec.Declared, timeout))
	defer timer.Stop()
	select {
	case <-r.ended:
	case <-ctx.Done():
		return context.Cause(ctx)
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
	if r == nil || r.current() == nil {
		return fmt.Errorf("container %s is not running", u.name)
	}
	if sig == unix.SIGKILL {
		u.update(func(s *state.Run) { s.Wanted = false })
		r.stop()
	}
	u.emit("kill", "signal", unix.SignalName(sig))
	if err := ignoreGone(r.current().Signal(sig)); err != nil {
		return err
	}
	if sig != unix.SIGKILL {
		return nil
	}
	return u.kill(ctx, r)
}

// Restart stops and starts the process; the root, the network place and the
// volumes stay.
func (u *Unit) Restart(ctx context.Context, timeout *compose.Duration) error {
	if err := u.Stop(ctx, timeout); err != nil {
		return err
	}
	return u.Start(ctx)
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
	u.update(func(s *state.Run) { s.State = to })
	u.emit(event)
	return nil
}

// stopSignal is the service's, else the image's, else SIGTERM.
func (u *Unit) stopSignal() (unix.Signal, error) {
	name := firstOf(u.rec.Declared.StopSignal, u.rec.Image.Config.StopSignal, "SIGTERM")
	return ParseSignal(name)
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
// anonymous ones.
func (u *Unit) Remove(ctx context.Context, timeout *compose.Duration, withVolumes bool) error {
	u.op.Lock()
	defer u.op.Unlock()
	if u.Record().State == api.StateRemoving {
		return nil
	}
	if err := u.stopLocked(ctx, timeout); err != nil {
		return err
	}
	u.update(func(s *state.Run) { s.State = api.StateRemoving })
	var anonymous []string
	if withVolumes {
		anonymous = slices.Collect(maps.Values(u.rec.Anonymous))
	}
	if err := u.discard(context.WithoutCancel(ctx), anonymous); err != nil {
		return fmt.Errorf("remove container %s: %w", u.name, err)
	}
	u.p.dropUnit(u)
	u.emit("destroy")
	return nil
}

// removeOnce removes a container that asked to go with its process.
func (u *Unit) removeOnce() {
	u.m.warn(u.Remove(context.Background(), nil, true))
}

// discard frees what the container holds, in the order in which it was taken;
// every step is tried. anonymous are the volumes that go with it.
func (u *Unit) discard(ctx context.Context, anonymous []string) error {
	var errs []error
	for _, ep := range u.rec.Endpoints {
		u.m.names.drop(ep.Network, u.id)
	}
	if u.oneOff && len(u.rec.Published) > 0 {
		errs = append(errs, u.p.Unpublish(&u.rec.Declared, []int{u.number}, portOwner(&u.rec)))
	}
	if u.sandbox != nil {
		errs = append(errs, u.m.Network.RemoveSandbox(ctx, u.id))
	}
	if u.journal != nil {
		errs = append(errs, u.journal.Close())
	}
	errs = append(errs, os.RemoveAll(filepath.Join(u.dataDir(), "log")), snapshot.Remove(u.m.Roots.Data, u.id))
	errs = append(errs, u.m.Records.RemoveContainer(u.p.Name, u.id))
	for _, name := range anonymous {
		errs = append(errs, u.m.Volumes.Remove(ctx, name))
	}
	return errors.Join(errs...)
}
