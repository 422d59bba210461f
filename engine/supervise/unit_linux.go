package supervise

import (
	"os"
	"path/filepath"
	"sync"
	"time"

	"devstack/engine/api"
	"devstack/engine/container"
	"devstack/engine/image/snapshot"
	"devstack/engine/logs"
	"devstack/engine/state"
	"devstack/network"
)

// Unit is one container of a project.
type Unit struct {
	p *Project
	m *Machine

	// Fixed at birth, copies of the record's.
	id, name, service string
	number            int
	oneOff            bool

	// op is held by the operation that changes the unit (start, stop, remove).
	op sync.Mutex

	mu      sync.Mutex
	rec     state.Container
	snap    snapshot.Snapshot
	sandbox *network.Sandbox // nil where the network is not its own
	journal *logs.Journal
	run     *run // the present or the last one; nil before the first
	runs    int  // how often it was started, by this engine
	probe   probeResult
	code    int       // with which its last process has ended, for this engine
	thawed  time.Time // when Resume ended the last Pause
	ports   bool      // its published ports are its own, also while it restarts
	holds   int       // operations that keep its ports open when the run ends
	// Where the published ports lead, see divert_linux.go.
	diverted bool // not to the process, which is on its way out
	warming  bool // not to the process before it is healthy
	gone     bool // removed: nothing of it must come back
}

// run is a unit's time from a start to its end, restarts included.
type run struct {
	halt  chan struct{} // closed: no more restarts
	once  sync.Once
	ended chan struct{} // closed: no process, and none will come by itself

	out *output // of the present process; the run's own goroutine uses it

	// launching is held while the run makes a process of its own accord: who
	// stops the run sees all of it or nothing.
	launching sync.Mutex

	mu      sync.Mutex
	process *container.Container // nil between restarts
	stdin   *os.File             // engine's end, while stdin_open
	console *os.File             // pty master, with tty
}

func newRun() *run {
	return &run{halt: make(chan struct{}), ended: make(chan struct{})}
}

// stop makes the present process the run's last, and says which it is: nil
// where there is none.
func (r *run) stop() *container.Container {
	r.once.Do(func() { close(r.halt) })
	r.launching.Lock()
	defer r.launching.Unlock()
	return r.current()
}

func (r *run) halted() bool {
	select {
	case <-r.halt:
		return true
	default:
		return false
	}
}

// over reports whether there is no run (any more).
func (r *run) over() bool {
	if r == nil {
		return true
	}
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

func (r *run) set(c *container.Container) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.process = c
}

func (r *run) current() *container.Container {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process
}

func newUnit(p *Project, rec state.Container) *Unit {
	rec.Declared.Name = rec.Service // the record leaves it out
	return &Unit{
		p: p, m: p.m, rec: rec,
		id: rec.ID, name: rec.Name, service: rec.Service, number: rec.Number, oneOff: rec.OneOff, code: rec.ExitCode,
	}
}

// ID is the container's id, 64 hex digits.
func (u *Unit) ID() string { return u.id }

// Name is the container's name.
func (u *Unit) Name() string { return u.name }

// Service is the name of the service it belongs to.
func (u *Unit) Service() string { return u.service }

// Number counts a service's containers from 1.
func (u *Unit) Number() int { return u.number }

// OneOff tells a container of `run` from one of `up`.
func (u *Unit) OneOff() bool { return u.oneOff }

// Record is a copy of the unit's record.
func (u *Unit) Record() state.Container {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.rec
}

// Process is the running process, or nil.
func (u *Unit) Process() *container.Container {
	if r := u.currentRun(); r != nil {
		return r.current()
	}
	return nil
}

func (u *Unit) currentRun() *run {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.run
}

// Runs counts the starts (not restarts by policy) of the container that this
// engine has seen.
func (u *Unit) Runs() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.runs
}

// active reports whether the unit has a process or will have one by itself.
func (u *Unit) active() bool {
	return !u.currentRun().over()
}

// stopping reports whether the unit's process is on its way out.
func (u *Unit) stopping() bool {
	r := u.currentRun()
	return r != nil && r.halted() && u.active()
}

func (u *Unit) isGone() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.gone
}

// update changes the unit's state, records it and wakes who waits for it.
func (u *Unit) update(change func(*state.Run)) {
	u.mu.Lock()
	change(&u.rec.Run)
	var err error
	if !u.gone {
		rec := u.rec
		err = u.m.Records.PutContainer(&rec)
	}
	u.mu.Unlock()
	u.m.warn(err)
	u.p.notify()
}

// emit publishes an event about the unit.
func (u *Unit) emit(action string, attributes ...string) {
	e := api.Event{
		Time: time.Now(), Type: "container", Action: action,
		Project: u.p.Name, Service: u.service, Container: u.name, ID: u.id,
		Attributes: map[string]string{"image": u.rec.Image.Ref},
	}
	for i := 0; i+1 < len(attributes); i += 2 {
		e.Attributes[attributes[i]] = attributes[i+1]
	}
	u.m.publishEvent(e)
}

// dataDir holds the container's upper layer and its journal.
func (u *Unit) dataDir() string { return filepath.Join(u.m.Roots.Data, "containers", u.id) }

// Journal is the container's log.
func (u *Unit) Journal() *logs.Journal {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.journal
}
