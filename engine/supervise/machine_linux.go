package supervise

import (
	"os"

	"devstack/engine/api"
	"devstack/engine/container"
	"devstack/engine/event"
	"devstack/engine/guard"
	"devstack/engine/logs"
	"devstack/engine/state"
	"devstack/network"
	"devstack/volumes"
)

// Guard is what the units need of the guard: a second holder of descriptors,
// and the exit statuses it collected while no engine was there.
type Guard interface {
	Keep(name string, f *os.File) error
	Drop(name string) error
	Sync() // returns when what was dropped is closed
	Restored() map[string]*os.File
	GuardPID() int
	Generation() int
	Exited(pid int, startTime uint64) <-chan guard.Exit
	Forget(pid int, startTime uint64)
	Done() <-chan struct{}
}

// Machine is the mechanisms that every project works with.
type Machine struct {
	Roots   state.Roots
	Runtime *container.Runtime
	Network *network.Stack
	Volumes *volumes.Store
	Records *state.Store
	Events  *event.Bus
	Guard   Guard // may be nil: nobody keeps descriptors
	// Unwritten is what of containers' output is read and not in their logs yet;
	// nil: it is lost when the engine is killed.
	Unwritten *logs.Memory
	// Idle is called, without locks held, whenever a container stopped.
	Idle func()
	// Find gives a container of any project by its name; may be nil.
	Find func(name string) *Unit
	// Warn takes what went wrong where nobody waits for an answer.
	Warn func(error)

	names    *nameBoard
	ports    openPorts
	accounts accountCache
	births   chan struct{} // bounds how many containers are born at once
}

// birthsAtOnce bounds concurrent creations: a birth is mostly kernel work
// under a few global locks, and more of them at once only queue.
const birthsAtOnce = 8

// Init makes m ready for use.
func (m *Machine) Init() {
	m.names = newNameBoard(m.Network.SetNames)
	m.births = make(chan struct{}, birthsAtOnce)
	if m.Idle == nil {
		m.Idle = func() {}
	}
	if m.Find == nil {
		m.Find = func(string) *Unit { return nil }
	}
	if m.Warn == nil {
		m.Warn = func(error) {}
	}
}

// warn reports err, if any, where nobody waits for it.
func (m *Machine) warn(err error) {
	if err != nil {
		m.Warn(err)
	}
}

func (m *Machine) publishEvent(e api.Event) { m.Events.Publish(e) }
