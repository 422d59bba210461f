package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"devstack/engine/container"
)

// A container that joined another's ipc or pid namespace is tied to that one's
// process: with the pid namespace it dies, and in the ipc namespace it is left
// alone with what nobody else sees. When the other comes back, both follow.

// namespacePeers are the containers whose ipc and pid namespaces u joins, by
// the kind of namespace.
func (u *Unit) namespacePeers() map[string]*Unit {
	out := map[string]*Unit{}
	for kind, mode := range map[string]string{"ipc": u.rec.Declared.IPC, "pid": u.rec.Declared.PID} {
		switch mode {
		case "", "private", "shareable", "none", netHost:
			continue
		}
		if other, err := u.peer(mode); err == nil {
			out[kind] = other
		}
	}
	return out
}

// peerAnswer bounds the wait for the end of the process that took another one
// along: the kernel kills the members of a pid namespace before its first
// process is gone.
const peerAnswer = time.Second

// diedWithPeer tells whether a process was killed because the one whose pid
// namespace it had joined ended; that one is of, nil if it is known no more.
func (u *Unit) diedWithPeer(ctx context.Context, exit container.Exit) (of *container.Container, died bool) {
	const killed = 128 + int(unix.SIGKILL)
	peer := u.namespacePeers()["pid"]
	if peer == nil || exit.Code != killed || exit.OOMKilled {
		return nil, false
	}
	// It may have been started again by now, and its process be another one.
	restarted := func() bool { return peer.Record().Started.After(u.Record().Started) }
	c := peer.Process()
	if c == nil || restarted() {
		return nil, true
	}
	ctx, cancel := context.WithTimeout(ctx, peerAnswer)
	defer cancel()
	if _, err := c.Wait(ctx); err == nil || errors.Is(err, container.ErrUnknownExit) {
		return c, true
	}
	return nil, restarted()
}

// awaitPeer waits until the container whose pid namespace u joins has another
// process than that which has ended; false means that it will not by itself.
func (u *Unit) awaitPeer(ctx context.Context, ended *container.Container) bool {
	peer := u.namespacePeers()["pid"]
	if peer == nil {
		return false
	}
	gone := errors.New("the peer has ended")
	return u.p.Await(ctx, func() (bool, error) {
		switch c := peer.Process(); {
		case c != nil && c != ended && peer.Record().PID != 0:
			return true, nil
		case !peer.active():
			return false, gone
		}
		return false, nil
	}) == nil
}

// rejoinByItself is Rejoin where no operation asks for it: it waits for those
// under way, which may be about to stop or remove the same containers.
func (u *Unit) rejoinByItself(ctx context.Context) {
	if !slices.ContainsFunc(u.p.Units(), u.leaves) {
		return
	}
	unlock, err := u.p.Lock(ctx)
	if err != nil {
		u.m.warn(err)
		return
	}
	defer unlock()
	u.m.warn(u.Rejoin(ctx))
}

// Rejoin restarts the containers that are left in an ipc namespace which u had
// before it was started again. The caller has the right to change the project.
func (u *Unit) Rejoin(ctx context.Context) error {
	var errs []error
	for _, x := range u.p.Units() {
		if !u.leaves(x) {
			continue
		}
		err := x.Restart(ctx, nil, func(context.Context) error { return nil })
		if err != nil {
			errs = append(errs, fmt.Errorf("restart container %s in the namespaces of %s: %w", x.name, u.name, err))
		}
	}
	return errors.Join(errs...)
}

// leaves tells whether x is left in an ipc namespace which u had before.
func (u *Unit) leaves(x *Unit) bool {
	return x != u && x.namespacePeers()["ipc"] == u && leftBehind(x, u)
}

// leftBehind tells whether both run and have different ipc namespaces.
func leftBehind(x, u *Unit) bool {
	mine, theirs := x.Process(), u.Process()
	if mine == nil || theirs == nil {
		return false
	}
	a, errA := os.Readlink(fmt.Sprintf("/proc/%d/ns/ipc", mine.PID()))
	b, errB := os.Readlink(fmt.Sprintf("/proc/%d/ns/ipc", theirs.PID()))
	return errA == nil && errB == nil && a != b
}
