package supervise

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/image"
	"devstack/engine/plan"
	"devstack/network"
	"devstack/volumes"
)

// Execution carries out one plan.
type Execution struct {
	Project *Project
	Images  map[string]image.Image // by service
	Hashes  map[string]string      // by service
	// Among tells the services whose conditions count; nil: all.
	Among       func(service string) bool
	Timeout     *compose.Duration
	RenewAnon   bool
	Parallel    int  // most operations at once; 0: no limit
	DropVolumes bool // anonymous volumes go with removed containers
	Emit        func(api.Message)

	inits onces
}

// Run executes the plan's operations, each as soon as the ones before it have
// succeeded. The first failure stops what has not begun; Run returns when
// nothing runs any more, with every error.
func (x *Execution) Run(ctx context.Context, p *plan.Plan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if x.Among == nil {
		x.Among = func(string) bool { return true }
	}
	done := make([]chan struct{}, len(p.Ops)) // closed only on success
	for i := range done {
		done[i] = make(chan struct{})
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	slots := make(chan struct{}, max(1, x.Parallel))
	for i, op := range p.Ops {
		wg.Go(func() {
			for _, before := range op.After {
				select {
				case <-done[before]:
				case <-ctx.Done():
					return
				}
			}
			if x.Parallel > 0 {
				select {
				case slots <- struct{}{}:
					defer func() { <-slots }()
				case <-ctx.Done():
					return
				}
			}
			if err := x.do(ctx, op); err != nil {
				mu.Lock()
				// What was only cut short by the first failure says nothing new.
				if len(errs) == 0 || !errors.Is(err, context.Canceled) {
					errs = append(errs, err)
				}
				mu.Unlock()
				cancel()
				return
			}
			close(done[i])
		})
	}
	wg.Wait()
	if errs == nil {
		return context.Cause(ctx)
	}
	return errors.Join(errs...)
}

// words are what progress says while an operation runs and when it is done.
var words = map[plan.Kind][2]string{
	plan.CreateNetwork:   {"Creating", "Created"},
	plan.RemoveNetwork:   {"Removing", "Removed"},
	plan.CreateVolume:    {"Creating", "Created"},
	plan.RemoveVolume:    {"Removing", "Removed"},
	plan.CreateContainer: {"Creating", "Created"},
	plan.Recreate:        {"Recreate", "Recreated"},
	plan.Start:           {"Starting", "Started"},
	plan.Restart:         {"Restarting", "Restarted"},
	plan.Stop:            {"Stopping", "Stopped"},
	plan.Remove:          {"Removing", "Removed"},
	plan.Keep:            {"Running", "Running"},
}

func progressID(op plan.Op) string {
	switch op.Kind {
	case plan.CreateNetwork, plan.RemoveNetwork:
		return "Network " + op.Object
	case plan.CreateVolume, plan.RemoveVolume:
		return "Volume " + op.Object
	}
	return "Container " + op.Object
}

func (x *Execution) progress(op plan.Op, state, text, detail string) {
	x.Emit(api.Message{Progress: &api.Progress{ID: progressID(op), State: state, Text: text, Detail: detail}})
}

// keptAs is how a container is that stays as it is.
func (x *Execution) keptAs(op plan.Op) string {
	if u := x.Project.byID(op.ID); u != nil {
		switch u.Record().State {
		case api.StateCreated:
			return "Created"
		case api.StateExited:
			return "Exited"
		}
	}
	return words[plan.Keep][1]
}

func (x *Execution) do(ctx context.Context, op plan.Op) error {
	text := words[op.Kind]
	if op.Kind == plan.Keep {
		x.progress(op, api.Done, x.keptAs(op), "")
		return nil
	}
	if op.Kind != plan.Start {
		x.progress(op, api.Working, text[0], op.Cause)
	}
	err := x.act(ctx, op)
	switch {
	case err == nil:
		x.progress(op, api.Done, text[1], "")
	case errors.Is(err, network.ErrInUse):
		// Somebody else's containers: not a reason to fail a `down`.
		x.progress(op, api.Warning, "Resource is still in use", "")
		return nil
	case ctx.Err() != nil:
		x.progress(op, api.Warning, "Interrupted", "")
	default:
		x.progress(op, api.Failed, "Error", err.Error())
	}
	return withService(err, op.Service)
}

// withService names the service an error is about, unless it says so itself.
func withService(err error, service string) error {
	var e *api.Error
	var pe *PortError
	switch {
	case err == nil || service == "" || errors.As(err, &e) || errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &pe):
		return &api.Error{Service: service, Message: err.Error(), Path: compose.Path("services", service, "ports", fmt.Sprint(pe.Index))}
	}
	return &api.Error{Service: service, Message: err.Error(), Hint: image.Hint(err), Path: compose.Path("services", service)}
}

func (x *Execution) act(ctx context.Context, op plan.Op) error {
	p := x.Project
	switch op.Kind {
	case plan.CreateNetwork:
		return x.createNetwork(ctx, op)
	case plan.RemoveNetwork:
		return x.removeNetwork(ctx, op)
	case plan.CreateVolume:
		return x.createVolume(ctx, op)
	case plan.RemoveVolume:
		return x.removeVolume(ctx, op)
	case plan.CreateContainer:
		_, err := x.create(ctx, op, nil, "")
		return err
	case plan.Recreate:
		return x.recreate(ctx, op)
	case plan.Start:
		return x.start(ctx, op)
	case plan.Restart:
		if u := p.byID(op.ID); u != nil {
			return u.Restart(ctx, x.Timeout, func(ctx context.Context) error {
				return p.awaitDependencies(ctx, &u.rec.Declared, x.Among, x.Emit)
			})
		}
	case plan.Stop:
		if u := p.byID(op.ID); u != nil {
			return u.Stop(ctx, x.Timeout)
		}
	case plan.Remove:
		return x.remove(ctx, op)
	}
	return nil
}

// create makes a container, the next generation of old where there is one;
// replaces is the id of the one beside which it is to start.
func (x *Execution) create(ctx context.Context, op plan.Op, old *Unit, replaces string) (*Unit, error) {
	declared, _ := x.Project.Declared()
	s := declared.Services[op.Service]
	s.Name = op.Service
	b := Birth{
		Name: op.Object, Service: s, Number: op.Number,
		Image: x.Images[op.Service], ConfigHash: x.Hashes[op.Service], Generation: 1, Replaces: replaces,
		MountImages: MountImages(&s, x.Images),
	}
	if old != nil {
		rec := old.Record()
		b.Generation = rec.Generation + 1
		if !x.RenewAnon {
			b.Anonymous = rec.Anonymous
		}
	}
	return x.Project.Create(ctx, b)
}

// recreate replaces a container by a new generation, which takes its name,
// number, addresses and anonymous volumes.
func (x *Execution) recreate(ctx context.Context, op plan.Op) error {
	old := x.Project.byID(op.ID)
	if old == nil {
		_, err := x.create(ctx, op, nil, "")
		return err
	}
	declared, _ := x.Project.Declared()
	if s := declared.Services[op.Service]; old.StartsFirst(&s) {
		return x.createBeside(ctx, op, old)
	}
	defer old.HoldPorts()()
	old.divert(ctx)
	if err := old.Remove(ctx, x.Timeout, x.RenewAnon); err != nil {
		return err
	}
	u, err := x.create(ctx, op, old, "")
	if err == nil {
		u.inheritPorts()
	}
	return err
}

func (x *Execution) start(ctx context.Context, op plan.Op) error {
	u := x.Project.find(op.Service, op.Number)
	if u == nil {
		return fmt.Errorf("container %s is gone", op.Object)
	}
	s := u.Record().Declared
	if len(s.DependsOn) > 0 {
		x.progress(op, api.Working, "Waiting", op.Cause)
		// The dependent's own declaration may be newer than the container's.
		declared, _ := x.Project.Declared()
		if d, ok := declared.Services[op.Service]; ok {
			s = d
		}
		if err := x.Project.awaitDependencies(ctx, &s, x.Among, x.Emit); err != nil {
			return err
		}
	}
	if err := x.runInits(ctx, op, u); err != nil {
		return err
	}
	x.progress(op, api.Working, "Starting", op.Cause)
	old := x.Project.byID(u.Record().Replaces)
	err := u.Start(ctx)
	switch {
	case old == nil:
		return err
	case err != nil:
		return errors.Join(err, u.Remove(context.WithoutCancel(ctx), x.Timeout, false))
	}
	return x.succeed(ctx, op, u, old)
}

func (x *Execution) remove(ctx context.Context, op plan.Op) error {
	u := x.Project.byID(op.ID)
	if u == nil {
		return nil
	}
	if u.active() {
		x.progress(op, api.Working, "Stopping", op.Cause)
		if err := u.Stop(ctx, x.Timeout); err != nil {
			return err
		}
		x.progress(op, api.Working, "Stopped", "")
		x.progress(op, api.Working, words[plan.Remove][0], op.Cause)
	}
	return u.Remove(ctx, x.Timeout, x.DropVolumes)
}

// ClosePorts closes the published ports of a service that no container of it
// holds any more.
func (p *Project) ClosePorts(s compose.Service) error {
	return p.m.closePorts(p.Name+"/"+s.Name+"/", func() map[string]bool {
		inUse := map[string]bool{}
		for _, u := range p.Units() {
			if u.service != s.Name || !u.holdsPorts() {
				continue
			}
			rec := u.Record()
			for i := range rec.Declared.Ports {
				inUse[portKey(p.Name, &rec.Declared, i, rec.Number, portOwner(&rec))] = true
			}
		}
		return inUse
	})
}

func (x *Execution) createNetwork(ctx context.Context, op plan.Op) error {
	declared, _ := x.Project.Declared()
	spec, err := NetworkSpec(x.Project.Name, declared.Networks[op.Key], op.Key)
	if err != nil {
		return err
	}
	if _, err := x.Project.m.Network.Apply(ctx, spec); err != nil {
		return err
	}
	x.event("network", "create", op.Object)
	return nil
}

func (x *Execution) removeNetwork(ctx context.Context, op plan.Op) error {
	if err := x.Project.m.Network.Remove(ctx, op.Object); err != nil && !errors.Is(err, network.ErrNoNetwork) {
		return err
	}
	x.event("network", "destroy", op.Object)
	return nil
}

func (x *Execution) createVolume(ctx context.Context, op plan.Op) error {
	declared, _ := x.Project.Declared()
	v := declared.Volumes[op.Key]
	_, err := x.Project.m.Volumes.Create(ctx, volumes.Spec{
		Name: v.Name, Driver: v.Driver, DriverOpts: v.DriverOpts, Project: x.Project.Name,
		Labels: objectLabels(v.Labels, x.Project.Name, "volume", op.Key),
	})
	if err == nil {
		x.event("volume", "create", op.Object)
	}
	return err
}

func (x *Execution) removeVolume(ctx context.Context, op plan.Op) error {
	err := x.Project.m.Volumes.Remove(ctx, op.Object)
	if errors.Is(err, volumes.ErrNotFound) {
		return nil
	}
	if err == nil {
		x.event("volume", "destroy", op.Object)
	}
	return err
}

func (x *Execution) event(kind, action, name string) {
	x.Project.m.publishEvent(api.Event{
		Time: time.Now(), Type: kind, Action: action, Project: x.Project.Name, ID: name,
		Attributes: map[string]string{"name": name},
	})
}
