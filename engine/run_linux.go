package engine

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"devstack/compose"
	"devstack/compose/graph"
	"devstack/engine/api"
	"devstack/engine/api/server"
	"devstack/engine/supervise"
)

// Run runs a one-off container of a service, after what the service needs.
func (e *Engine) Run(ctx context.Context, req api.RunRequest, se *server.Session) (int, error) {
	if req.Project == nil {
		return 0, &api.Error{Message: "no project given"}
	}
	if _, ok := req.Project.Services[req.Service]; !ok {
		return 0, &api.Error{Message: "no such service: " + req.Service}
	}
	u, err := e.prepareRun(ctx, req, se.Emit)
	if err != nil {
		return 0, oneFault(err)
	}
	var out *supervise.Attachment
	if !req.Detach {
		out = u.Attach(se.Stdout, se.Stderr)
		defer out.Close()
	}
	if err := u.Start(ctx); err != nil {
		code := u.Record().ExitCode
		if req.Remove {
			e.warn(u.Remove(context.WithoutCancel(ctx), nil, true))
		}
		return 0, &api.Error{Service: req.Service, Message: err.Error(), Code: code}
	}
	if req.Detach {
		fmt.Fprintln(se.Stdout, u.ID())
		return 0, nil
	}
	u.Resize(req.Size)
	code, err := e.accompany(ctx, u, se, out, req.Stdin, true)
	if req.Remove {
		// Its own end removes it, too: whoever has the exit code finds it gone.
		e.warn(u.Remove(context.WithoutCancel(ctx), nil, true))
	}
	return code, err
}

// prepareRun brings up what the service needs and creates the container.
func (e *Engine) prepareRun(ctx context.Context, req api.RunRequest, emit func(api.Message)) (*supervise.Unit, error) {
	p, unlock, err := e.lock(ctx, req.Project.Name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	defer func() { e.warn(e.forgetUnused(p)) }()
	end, err := e.images.Begin(ctx) // as in up
	if err != nil {
		return nil, err
	}
	defer end()
	supervise.NameServices(req.Project)
	s := req.Project.Services[req.Service]
	g, err := graph.New(req.Project)
	if err != nil {
		return nil, err
	}
	deps := slices.DeleteFunc(g.Closure([]string{req.Service}), func(n string) bool { return n == req.Service })
	if req.NoDeps {
		deps = nil
	}
	if req.NoRecreate {
		deps = slices.DeleteFunc(deps, func(n string) bool { return len(p.ServiceUnits(n)) > 0 && allRun(p.ServiceUnits(n)) })
	}
	scale := map[string]int{}
	for _, name := range append(slices.Clone(deps), req.Service) {
		if n := len(p.ServiceUnits(name)); n > 0 || name == req.Service {
			scale[name] = n // as many as there are: nobody has asked for fewer
		}
	}
	up := &up{e: e, p: p, emit: emit, req: &api.UpRequest{
		Project: req.Project, Meta: req.Meta, Services: append(slices.Clone(deps), req.Service), NoDeps: true, Pull: req.Pull, Build: req.Build, Credentials: req.Credentials, Lock: req.Lock,
		Scale: scale, NoRecreate: req.NoRecreate, Separator: req.Separator,
		RemoveOrphans: req.RemoveOrphans, IgnoreOrphans: req.IgnoreOrphans,
	}}
	pl, err := up.plan(ctx)
	if err != nil {
		return nil, err
	}
	// The service's own containers are none of this operation's business.
	pl = pl.Without(req.Service)
	if err := up.check(ctx, pl); err != nil {
		return nil, err
	}
	if err := up.execute(ctx, pl); err != nil {
		return nil, err
	}
	if !req.NoDeps {
		if err := p.AwaitDependencies(ctx, &s, emit); err != nil {
			return nil, err
		}
	}
	s.Ports = slices.Clone(s.Ports)
	s.Restart, s.Deploy = "no", withoutRestart(s.Deploy)
	s.TTY, s.StdinOpen = req.TTY, req.Stdin
	name := req.ContainerName
	if name == "" {
		name = strings.Join([]string{p.Name, req.Service, "run", shortID()}, cmp.Or(req.Separator, "-"))
	}
	s.ContainerName = ""
	return p.Create(ctx, supervise.Birth{
		Name: name, Service: s, Number: 1, OneOff: true, AutoRemove: req.Remove,
		Image: up.images[req.Service], ConfigHash: up.hashes[req.Service], Generation: 1, UseAliases: req.UseAliases,
		MountImages: supervise.MountImages(&s, up.images),
	})
}

func allRun(us []*supervise.Unit) bool {
	return !slices.ContainsFunc(us, func(u *supervise.Unit) bool { return u.Process() == nil })
}

func withoutRestart(d *compose.Deploy) *compose.Deploy {
	if d == nil {
		return nil
	}
	c := *d
	c.RestartPolicy = nil
	return &c
}

func shortID() string {
	var b [6]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Attach joins the streams of a running container.
func (e *Engine) Attach(ctx context.Context, req api.AttachRequest, se *server.Session) (int, error) {
	u, err := e.unit(req.Name, req.Service, req.Index)
	if err != nil {
		return 0, err
	}
	out := u.Attach(se.Stdout, se.Stderr)
	defer out.Close()
	u.Resize(req.Size)
	return e.accompany(ctx, u, se, out, !req.NoStdin, false)
}

// accompany passes input, signals and sizes on until the container ends.
// owner tells whether the container ends with its client.
func (e *Engine) accompany(ctx context.Context, u *supervise.Unit, se *server.Session, out *supervise.Attachment, withStdin, owner bool) (int, error) {
	if withStdin {
		go func() {
			io.Copy(u.Stdin(), se.Stdin)
			if owner {
				u.CloseStdin()
			}
		}()
	}
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case sig := <-se.Signals:
				e.warn(u.Signal(context.WithoutCancel(ctx), unix.Signal(sig)))
			case size := <-se.Resize:
				u.Resize(size)
			case <-stop:
				return
			}
		}
	}()
	u.AwaitEnd(ctx)
	if ctx.Err() != nil && owner {
		e.warn(u.Stop(context.WithoutCancel(ctx), nil))
	}
	out.Close()
	return u.Record().ExitCode, nil
}
