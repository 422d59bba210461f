package supervise

import (
	"context"
	"fmt"
	"time"

	"devstack/engine/api"
	"devstack/engine/image/snapshot"
	"devstack/engine/state"
)

// Start opens the container's published ports, runs its process and watches
// over it from then on. It returns once the process executes its program. A
// running container is left alone; one that is just ending is waited for. What
// it has to do after its start (post_start) is done when Start returns.
func (u *Unit) Start(ctx context.Context) error {
	started, err := u.startOnce(ctx)
	if err != nil || !started {
		return err
	}
	// Nobody has to wait for a hook to stop the container.
	return u.afterStart(ctx)
}

// startOnce is Start without the hooks; started is false for a container that
// ran already.
func (u *Unit) startOnce(ctx context.Context) (started bool, err error) {
	u.op.Lock()
	defer u.op.Unlock()
	if r := u.currentRun(); r != nil && u.active() {
		if !r.halted() {
			return false, nil
		}
		select {
		case <-r.ended:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
	switch rec := u.Record(); {
	case u.isGone() || rec.State == api.StateRemoving:
		return false, fmt.Errorf("container %s was removed", u.name)
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	}
	// From here on nobody's going away matters: it takes milliseconds, and half
	// a start is of no use.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startLimit)
	defer cancel()
	return true, u.begin(ctx)
}

// startLimit bounds a start: volumes of the network may let it wait.
const startLimit = time.Minute

func (u *Unit) begin(ctx context.Context) error {
	defer u.HoldPorts()() // until there is a run, or there will be none
	if err := u.openPorts(ctx); err != nil {
		return err
	}
	r := newRun()
	u.update(func(s *state.Run) {
		u.run, u.diverted = r, false
		u.runs++
		s.Wanted, s.Restarts, s.Error = true, 0, ""
	})
	err := u.mend(ctx)
	if err == nil {
		err = u.prepare(ctx)
	}
	if err == nil {
		err = u.launch(ctx, r)
	}
	if err != nil {
		r.stop()
		close(r.ended)
		u.failed(err)
		return err
	}
	go u.watch(r)
	return nil
}

// rootless reports whether the container runs without the root that it was
// made with: the data root was removed under an earlier engine.
func (u *Unit) rootless() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.snap.Lower) == 0 && u.rec.PID != 0
}

// mend makes again what a container had and the machine has lost: its network
// namespace, when the machine was started anew.
func (u *Unit) mend(ctx context.Context) error {
	if len(u.snap.Lower) == 0 {
		snap, err := snapshot.Prepare(u.m.Roots.Data, u.id, u.rec.Image, storageSize(&u.rec.Declared))
		if err != nil {
			return err
		}
		u.mu.Lock()
		u.snap = snap
		u.mu.Unlock()
	}
	if u.sandboxOpen() != nil || !ownSandbox(&u.rec.Declared) {
		return nil
	}
	if err := u.m.Network.RemoveSandbox(ctx, u.id); err != nil {
		return err
	}
	aliases := !u.oneOff
	for _, ep := range u.rec.Endpoints {
		aliases = aliases || len(ep.Names) > 2 // more than the container's own two
	}
	u.mu.Lock()
	u.rec.Endpoints = nil
	u.mu.Unlock()
	return u.connect(ctx, aliases)
}
