package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"devstack/engine/api"
	"devstack/engine/build"
	"devstack/engine/container"
	"devstack/engine/event"
	"devstack/engine/image/registry"
	"devstack/engine/image/store"
	"devstack/engine/logs"
	"devstack/engine/state"
	"devstack/engine/supervise"
	"devstack/network"
	"devstack/volumes"
)

// Config is what an Engine needs from its process.
type Config struct {
	Roots   state.Roots
	Version string
	Build   string
	Guard   supervise.Guard // may be nil
	// Idle is called whenever something may have become idle.
	Idle func()
	// Warn takes errors that no request waits for.
	Warn func(error)
	// Effort and Haste adapt the process to how much there is to do; may be nil.
	Effort, Haste *effort
}

// Engine runs projects.
type Engine struct {
	cfg     Config
	m       *supervise.Machine
	images  *store.Store
	remote  *registry.Client // shared: connections and tokens serve every pull
	builder func() (*build.Builder, error)
	opened  atomic.Pointer[build.Builder] // by builder
	garbage garbage
	started time.Time
	adopted int

	generation, guardPID int // of this engine, as the guard says
	watches              watches

	mu       sync.Mutex
	projects map[string]*supervise.Project
}

// Open prepares the mechanisms, takes over the containers that an engine
// before this one left running, and sweeps what belongs to nobody.
func Open(ctx context.Context, cfg Config) (_ *Engine, err error) {
	for _, dir := range []string{cfg.Roots.Data, cfg.Roots.Run} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make root directory: %w", err)
		}
	}
	e := &Engine{cfg: cfg, started: time.Now(), projects: map[string]*supervise.Project{}}
	if cfg.Idle == nil {
		cfg.Idle = func() {}
	}
	if cfg.Warn == nil {
		cfg.Warn = func(error) {}
	}
	e.cfg = cfg
	m := &supervise.Machine{Roots: cfg.Roots, Guard: cfg.Guard, Events: &event.Bus{}, Idle: cfg.Idle, Find: e.named, Warn: cfg.Warn}
	e.m = m
	restored := map[string]*os.File{}
	var keep network.Keeper
	if cfg.Guard != nil {
		restored, keep = cfg.Guard.Restored(), cfg.Guard
	}
	if m.Records, err = state.Open(cfg.Roots); err != nil {
		return nil, err
	}
	if m.Volumes, err = volumes.Open(cfg.Roots.Data); err != nil {
		return nil, err
	}
	if e.images, err = store.Open(cfg.Roots.Data); err != nil {
		return nil, err
	}
	if m.Runtime, err = container.NewRuntime(container.Options{CgroupRoot: "devstack-" + cfg.Roots.Tag()}); err != nil {
		return nil, err
	}
	m.Network, err = network.Open(ctx, network.Config{
		DataRoot: cfg.Roots.Data, RunRoot: cfg.Roots.Run, Tag: cfg.Roots.Tag(), Keep: keep, Restored: restored,
	})
	if err != nil {
		return nil, errors.Join(err, m.Runtime.Close())
	}
	if m.Unwritten, err = logs.OpenMemory(cfg.Roots.Unwritten()); err != nil {
		cfg.Warn(err)
	}
	e.remote = registry.New(registry.Options{})
	e.builder = e.openBuilder()
	e.garbage.collect, e.garbage.warn = e.collectGarbage, cfg.Warn
	m.Init()
	if err := e.adopt(ctx, restored); err != nil {
		cfg.Warn(err)
	}
	return e, nil
}

// Close gives back what the engine holds; containers go on running.
func (e *Engine) Close() error {
	e.endWatches()
	e.garbage.close()
	err := e.closeBuilder()
	e.images.Close()
	if !e.Busy() { // whoever runs goes on to write
		_ = os.Remove(e.cfg.Roots.Unwritten()) // as nobody needs it, nobody minds
	}
	return errors.Join(err, e.m.Network.Close(), e.m.Runtime.Close())
}

// Busy reports whether any container runs or will run again by itself.
func (e *Engine) Busy() bool {
	return slices.ContainsFunc(e.all(), (*supervise.Project).Running)
}

// all are the projects by name.
func (e *Engine) all() []*supervise.Project {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []*supervise.Project
	for _, name := range slices.Sorted(maps.Keys(e.projects)) {
		out = append(out, e.projects[name])
	}
	return out
}

// named finds a container of any project by its name.
func (e *Engine) named(name string) *supervise.Unit {
	for _, p := range e.all() {
		for _, u := range p.Units() {
			if u.Name() == name {
				return u
			}
		}
	}
	return nil
}

// known is a project that the engine has, or nil.
func (e *Engine) known(name string) *supervise.Project {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.projects[name]
}

// ensure is the project called name, made if the engine does not know it yet.
func (e *Engine) ensure(name string) *supervise.Project {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.projects[name]
	if p == nil {
		p = supervise.NewProject(e.m, state.Project{Name: name})
		e.projects[name] = p
	}
	return p
}

// lock is the project called name with the right to change it, made if the
// engine does not know it yet.
func (e *Engine) lock(ctx context.Context, name string) (p *supervise.Project, unlock func(), err error) {
	for {
		p := e.ensure(name)
		unlock, err := p.Lock(ctx)
		if err != nil {
			return nil, nil, err
		}
		if e.known(name) == p {
			return p, e.hasten(unlock), nil
		}
		unlock() // it was forgotten while this waited: there is another, or none
	}
}

// hasten has the collector work less until unlock is called.
func (e *Engine) hasten(unlock func()) func() {
	rest := e.cfg.Haste.begin()
	return func() {
		unlock()
		rest()
	}
}

// forget drops a project of which nothing is left. The caller has the right to
// change it.
func (e *Engine) forget(p *supervise.Project) error {
	if !p.Empty() {
		return nil
	}
	// The record first: once the name is free the next project writes its own.
	err := e.m.Records.RemoveProject(p.Name)
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.projects, p.Name)
	return err
}

// Version answers the handshake.
func (e *Engine) Version() api.VersionResult {
	return api.VersionResult{Version: e.cfg.Version, Protocol: api.Protocol, PID: os.Getpid(), Build: e.cfg.Build}
}

// Status describes the engine.
func (e *Engine) Status() api.StatusResult {
	s := api.StatusResult{
		Version: e.cfg.Version, PID: os.Getpid(), GuardPID: e.guardPID, Generation: e.generation, Started: e.started,
		Adopted: e.adopted, DataRoot: e.cfg.Roots.Data, RunRoot: e.cfg.Roots.Run,
	}
	for _, p := range e.all() {
		s.Projects++
		s.Containers += len(p.Units())
	}
	return s
}
