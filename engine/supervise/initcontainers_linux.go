package supervise

import (
	"context"
	"fmt"
	"path"
	"slices"
	"sync"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/image"
	"devstack/engine/plan"
)

// ImageKeyMark stands between a service and its further images in their keys: no
// service has it in its name.
const ImageKeyMark = "/"

// InitImageKey names the image of a service's init container i among the
// images of an Execution.
func InitImageKey(service string, i int) string {
	return fmt.Sprintf("%s"+ImageKeyMark+"pre_start.%d", service, i)
}

// onces remembers what an execution does once for all replicas of a service.
type onces struct {
	mu sync.Mutex
	of map[string]func() error
}

// do runs act, or waits for who runs it already; everybody gets its result.
func (o *onces) do(key string, act func() error) error {
	o.mu.Lock()
	if o.of == nil {
		o.of = map[string]func() error{}
	}
	once, ok := o.of[key]
	if !ok {
		once = sync.OnceValue(act)
		o.of[key] = once
	}
	o.mu.Unlock()
	return once()
}

// runInits runs the containers of pre_start to their end before u starts: in
// their order, once for the service or, where they ask for it, for each replica.
func (x *Execution) runInits(ctx context.Context, op plan.Op, u *Unit) error {
	if u.active() {
		return nil
	}
	for i, init := range u.rec.Declared.PreStart {
		act := func() error { return x.runInit(ctx, op, u, i, init) }
		if init.PerReplica {
			if err := act(); err != nil {
				return err
			}
			continue
		}
		if err := x.inits.do(InitImageKey(op.Service, i), act); err != nil {
			return err
		}
	}
	return nil
}

// runInit runs one init container; its output goes to the journal of u.
func (x *Execution) runInit(ctx context.Context, op plan.Op, u *Unit, i int, init compose.InitContainer) error {
	p := x.Project
	name := fmt.Sprintf("%s-pre-start-%d", u.name, i+1)
	for _, left := range p.Units() { // of an engine that died meanwhile
		if left.name == name {
			if err := left.Remove(ctx, x.Timeout, false); err != nil {
				return err
			}
		}
	}
	x.progress(op, api.Working, "Initializing", init.Image)
	img, ok := x.Images[InitImageKey(op.Service, i)]
	if !ok {
		img = u.rec.Image
	}
	c, err := p.Create(ctx, Birth{
		Name: name, Service: initService(&u.rec.Declared, init), Number: op.Number, OneOff: true,
		Image: img, Generation: 1, Anonymous: u.rec.Anonymous, MountImages: u.rec.MountImages,
	})
	if err != nil {
		return err
	}
	out, err := u.journalPipes()
	if err == nil {
		seen := c.Attach(out.w[0], out.w[1])
		err = c.awaitInit(ctx)
		seen.Close()
		out.closeWriters()
		out.drain()
	}
	if removal := c.Remove(context.WithoutCancel(ctx), nil, false); err == nil {
		err = removal
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	return &api.Error{
		Service: op.Service, Message: fmt.Sprintf("init container %d of %s: %v", i+1, u.name, err),
		Path: compose.Path("services", op.Service, "pre_start", fmt.Sprint(i)), Detail: u.Evidence(false),
	}
}

// awaitInit starts an init container and waits for its success.
func (u *Unit) awaitInit(ctx context.Context) error {
	if err := u.Start(ctx); err != nil {
		return err
	}
	u.AwaitEnd(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if code := u.Record().ExitCode; code != 0 {
		return fmt.Errorf("exited with status %d", code)
	}
	return nil
}

// initService is what an init container declares: the loader has completed it
// with the service's own keys; the mounts of the service come here.
func initService(s *compose.Service, init compose.InitContainer) compose.Service {
	out := init.Service
	out.Name = s.Name
	own := map[string]bool{}
	for _, m := range out.Volumes {
		own[path.Clean(m.Target)] = true
	}
	out.Volumes = slices.Clone(out.Volumes)
	for _, m := range s.Volumes {
		if !own[path.Clean(m.Target)] {
			out.Volumes = append(out.Volumes, m)
		}
	}
	out.Restart, out.Ports, out.ContainerName, out.Healthcheck = "no", nil, "", nil
	return out
}

// MountImages picks the images that a service mounts, by container path.
func MountImages(s *compose.Service, images map[string]image.Image) map[string]image.Image {
	var out map[string]image.Image
	for i, m := range s.Volumes {
		if m.Type != compose.MountImage {
			continue
		}
		if out == nil {
			out = map[string]image.Image{}
		}
		out[path.Clean(m.Target)] = images[MountImageKey(s.Name, i)]
	}
	return out
}

// MountImageKey names the image of a service's mount i among the images of an
// Execution.
func MountImageKey(service string, i int) string {
	return fmt.Sprintf("%s"+ImageKeyMark+"volumes.%d", service, i)
}
