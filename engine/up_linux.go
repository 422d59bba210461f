package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"devstack/compose"
	"devstack/compose/graph"
	"devstack/engine/api"
	"devstack/engine/image"
	"devstack/engine/plan"
	"devstack/engine/supervise"
	"devstack/volumes"
)

// Up brings a project to what it declares. Everything that can be checked is
// checked before anything is changed: images, external networks and volumes,
// bind sources, names, ports.
func (e *Engine) Up(ctx context.Context, req api.UpRequest, emit func(api.Message)) (api.UpResult, error) {
	if req.Project == nil || req.Project.Name == "" {
		return api.UpResult{}, &api.Error{Message: "no project given"}
	}
	p, unlock, err := e.lock(ctx, req.Project.Name)
	if err != nil {
		return api.UpResult{}, err
	}
	defer unlock()
	defer func() { e.warn(e.forgetUnused(p)) }()
	if req.Edit {
		defer p.Hasten()()
	}
	supervise.NameServices(req.Project)
	u := &up{e: e, p: p, req: &req, emit: emit}
	return u.run(ctx)
}

// up is one `up` under way.
type up struct {
	e    *Engine
	p    *supervise.Project
	req  *api.UpRequest
	emit func(api.Message)

	selected []string
	images   map[string]image.Image
	hashes   map[string]string
	told     []string // of ports that are published elsewhere
	// What opens ports again that were closed for the plan.
	retired []func(context.Context) error
}

func (u *up) run(ctx context.Context) (api.UpResult, error) {
	// Images are garbage to others from when they are found until containers
	// have them.
	end, err := u.e.images.Begin(ctx)
	if err != nil {
		return api.UpResult{}, err
	}
	defer end()
	pl, err := u.plan(ctx)
	if err != nil {
		return api.UpResult{}, err
	}
	if u.req.DryRun {
		return api.UpResult{Plan: pl.String(), Changes: pl.Changes()}, nil
	}
	if err := u.check(ctx, pl); err != nil {
		return api.UpResult{}, err
	}
	if err := u.execute(ctx, pl); err != nil {
		return api.UpResult{}, err
	}
	end()
	if err := u.wait(ctx); err != nil {
		return api.UpResult{}, err
	}
	var res api.UpResult
	for _, unit := range u.p.Units() {
		if slices.Contains(u.selected, unit.Service()) && !unit.OneOff() {
			res.Containers = append(res.Containers, describe(unit))
		}
	}
	return res, nil
}

// plan finds out what there is and what has to be done.
func (u *up) plan(ctx context.Context) (*plan.Plan, error) {
	g, err := graph.New(u.req.Project)
	if err != nil {
		return nil, err
	}
	if u.selected, err = selectServices(u.req, g); err != nil {
		return nil, err
	}
	u.followers(g.Order())
	if err := u.checkDeclared(); err != nil {
		return nil, err
	}
	if err := u.resolveImages(ctx); err != nil {
		return nil, err
	}
	d := plan.Desired{
		Project: u.req.Project, Order: g.Order(), Selected: u.selected, Targets: u.req.Services,
		Hashes: u.hashes, Digests: map[string]string{}, Scale: u.req.Scale,
		NoStart: u.req.NoStart, ForceRecreate: u.req.ForceRecreate, NoRecreate: u.req.NoRecreate,
		AlwaysRecreateDeps: u.req.AlwaysRecreateDeps, RemoveOrphans: u.req.RemoveOrphans,
		Separator: u.req.Separator,
	}
	for name, img := range u.images {
		d.Digests[name] = string(img.ID)
	}
	for _, name := range u.req.Meta.Disabled {
		if u.req.Project.Disabled == nil {
			u.req.Project.Disabled = map[string]compose.Service{}
		}
		u.req.Project.Disabled[name] = compose.Service{Name: name}
	}
	observed := u.e.observe(u.p)
	if orphans := plan.Orphans(u.req.Project, observed.Containers); len(orphans) > 0 && !u.req.RemoveOrphans && !u.req.IgnoreOrphans {
		u.notice("warning", orphanNotice(u.p.Name, orphans))
	}
	return plan.Up(d, observed), nil
}

func orphanNotice(project string, orphans []plan.Container) string {
	var names []string
	for _, c := range orphans {
		names = append(names, c.Name)
	}
	return fmt.Sprintf("Found orphan containers (%s) for project %s. If you removed or renamed this service in your compose file, you can run this command with the --remove-orphans flag to clean it up.",
		strings.Join(names, ", "), project)
}

func (u *up) notice(level, text string) {
	u.emit(api.Message{Notice: &api.Notice{Level: level, Text: text}})
}

// selectServices are the services a request is about, with what they need
// unless --no-deps.
func selectServices(req *api.UpRequest, g *graph.Graph) ([]string, error) {
	for _, name := range req.Services {
		if _, ok := req.Project.Services[name]; !ok {
			return nil, &api.Error{Message: "no such service: " + name}
		}
	}
	for name := range req.Scale {
		if _, ok := req.Project.Services[name]; !ok {
			return nil, &api.Error{Message: "no such service: " + name}
		}
	}
	switch {
	case len(req.Services) == 0:
		return req.Project.ServiceNames(), nil
	case req.NoDeps:
		return req.Services, nil
	}
	return g.Closure(req.Services), nil
}

// observe is what is there of a project.
func (e *Engine) observe(p *supervise.Project) plan.Observed {
	o := plan.Observed{Networks: map[string]string{}, Volumes: map[string]bool{}, Containers: p.Observe()}
	o.Networks = supervise.NetworkHashes(e.m.Network.List())
	vols, err := e.m.Volumes.List()
	e.warn(err)
	for _, v := range vols {
		o.Volumes[v.Name] = true
	}
	return o
}

func (e *Engine) warn(err error) {
	if err != nil {
		e.cfg.Warn(err)
	}
}

// checkDeclared looks for what the declaration refers to and is not there.
func (u *up) checkDeclared() error {
	var errs []error
	fail := func(path, format string, args ...any) {
		errs = append(errs, &api.Error{Message: fmt.Sprintf(format, args...), Path: path})
	}
	proj := u.req.Project
	external := map[string]bool{}
	for _, name := range u.selected {
		s := proj.Services[name]
		for _, key := range slices.Sorted(maps.Keys(s.Networks)) {
			n, ok := proj.Networks[key]
			if external["network "+key] {
				continue
			}
			external["network "+key] = true
			if ok && !n.External {
				if n.Driver != "" && n.Driver != "bridge" {
					fail(compose.Path("networks", key, "driver"), "network %s: there is no driver %q here, only bridge", n.Name, n.Driver)
				}
				continue
			}
			if !ok {
				fail(compose.Path("services", name, "networks"), "network %s is not declared", key)
			} else if _, ok := u.e.m.Network.Lookup(n.Name); !ok {
				fail(compose.Path("networks", key), "network %s declared as external, but could not be found", n.Name)
			}
		}
		for i, m := range s.Volumes {
			path := compose.Path("services", name, "volumes", fmt.Sprint(i))
			if !strings.HasPrefix(m.Target, "/") {
				// "x:/data" has no source: a name of one letter reads as a drive.
				fail(path, "mount path %q is not absolute; a volume whose name is one letter needs the long form, with source and target", m.Target)
				continue
			}
			switch m.Type {
			case compose.MountVolume:
				v, ok := proj.Volumes[m.Source]
				if m.Source == "" || external["volume "+m.Source] {
					continue
				}
				external["volume "+m.Source] = true
				if ok && !v.External {
					if v.Driver != "" && v.Driver != volumes.DriverLocal {
						fail(compose.Path("volumes", m.Source, "driver"), "volume %s: there is no driver %q here, only %s", v.Name, v.Driver, volumes.DriverLocal)
					}
					continue
				}
				if !ok {
					fail(path, "volume %s is not declared", m.Source)
				} else if _, err := u.e.m.Volumes.Lookup(v.Name); err != nil {
					fail(compose.Path("volumes", m.Source), "external volume %q not found", v.Name)
				}
			case compose.MountBind:
				if err := checkBind(m); err != nil {
					fail(path, "%v", err)
				}
			case "npipe":
				fail(path, "a mount of type npipe is a named pipe of Windows")
			case "cluster":
				fail(path, "a mount of type cluster is a volume of Swarm: there is none here")
			}
		}
		for i, link := range s.ExternalLinks {
			if target, _, _ := strings.Cut(link, ":"); u.e.named(target) == nil {
				fail(compose.Path("services", name, "external_links", fmt.Sprint(i)), "external link to container %s, which could not be found", target)
			}
		}
		if n := u.replicas(&s); s.ContainerName != "" && n > 1 {
			fail(compose.Path("services", name, "container_name"), "container_name %q cannot be given to %d containers", s.ContainerName, n)
		}
	}
	return joinAPI(errs)
}

// checkBind finds a bind source that cannot be used. One that is to be made is
// made when its container is.
func checkBind(m compose.Mount) error {
	if !filepath.IsAbs(m.Source) { // C:\Users
		return fmt.Errorf("%s is not a path of this machine", m.Source)
	}
	if m.Bind == nil || m.Bind.CreateHostPath {
		if _, err := os.Lstat(m.Source); errors.Is(err, os.ErrNotExist) {
			return nil
		}
	}
	return volumes.BindSource(m.Source, false)
}

// check looks at everything that could fail after the first change.
func (u *up) check(ctx context.Context, pl *plan.Plan) error {
	errs := u.checkNames(pl)
	rehearsed := map[string]bool{}
	for _, op := range pl.Ops {
		s, ok := u.req.Project.Services[op.Service]
		if ok && !rehearsed[op.Service] && (op.Kind == plan.CreateContainer || op.Kind == plan.Recreate) {
			rehearsed[op.Service] = true
			for _, text := range u.p.Remarks(&s) {
				u.notice("warning", text)
			}
			errs = append(errs, u.p.Rehearse(u.req.Project, u.req.Meta.WorkingDir, &s, u.images[op.Service], supervise.MountImages(&s, u.images))...)
		}
	}
	if err := joinAPI(errs); err != nil {
		return err
	}
	return u.openPorts(ctx, pl)
}

func (u *up) replicas(s *compose.Service) int {
	if n, ok := u.req.Scale[s.Name]; ok {
		return n
	}
	return s.Replicas()
}

// checkNames refuses container names that another container has.
func (u *up) checkNames(pl *plan.Plan) []error {
	taken := map[string]*supervise.Unit{}
	for _, p := range u.e.all() {
		for _, unit := range p.Units() {
			taken[unit.Name()] = unit
		}
	}
	var errs []error
	for _, op := range pl.Ops {
		if op.Kind != plan.CreateContainer {
			continue
		}
		if other := taken[op.Object]; other != nil {
			errs = append(errs, &api.Error{
				Message: fmt.Sprintf("container name %q is already in use by container %s", op.Object, other.ID()[:12]),
				Service: op.Service, Path: compose.Path("services", op.Service, "container_name"),
			})
		}
	}
	return errs
}

// openPorts opens every port that the plan will need, so that a taken one is
// found before anything starts. Ports of containers that the plan removes are
// free for others.
func (u *up) openPorts(ctx context.Context, pl *plan.Plan) error {
	if u.req.NoStart {
		return nil
	}
	u.retirePorts(pl)
	var errs []error
	opened := map[string]bool{}
	for _, op := range pl.Ops {
		s, ok := u.req.Project.Services[op.Service]
		if !ok || len(s.Ports) == 0 || opened[op.Object] {
			continue
		}
		switch op.Kind {
		case plan.CreateContainer, plan.Recreate, plan.Start:
			opened[op.Object] = true
			at, err := u.p.Publish(ctx, &s, op.Number, "")
			if err != nil {
				errs = append(errs, portFault(op.Service, err))
			}
			u.tellMoved(&s, at)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	u.settlePorts(ctx, pl)
	return joinAPI(errs)
}

// tellMoved says which ports have given way to others.
func (u *up) tellMoved(s *compose.Service, at []api.Port) {
	for i := range at {
		declared := s.Ports[i].Published
		first, last, _ := supervise.HostPorts(s.Ports[i]) // checked when it was published
		if port := at[i].HostPort; declared != "" && (port < first || port > last) {
			text := fmt.Sprintf("service %q: instead of %s, port %d is published at %s", s.Name, declared, s.Ports[i].Target,
				net.JoinHostPort(at[i].HostIP, strconv.Itoa(int(port))))
			if !slices.Contains(u.told, text) { // by a replica
				u.told = append(u.told, text)
				u.notice("info", text)
			}
		}
	}
}

func portFault(service string, err error) error {
	var pe *supervise.PortError
	if !errors.As(err, &pe) {
		return err
	}
	return &api.Error{Service: service, Message: err.Error(), Path: compose.Path("services", service, "ports", fmt.Sprint(pe.Index))}
}

// retirePorts closes the ports that containers lose by the plan.
func (u *up) retirePorts(pl *plan.Plan) {
	units := map[string]*supervise.Unit{}
	for _, unit := range u.p.Units() {
		units[unit.ID()] = unit
	}
	for _, op := range pl.Ops {
		unit := units[op.ID]
		if unit == nil {
			continue
		}
		s, declared := u.req.Project.Services[op.Service]
		switch {
		case op.Kind == plan.Recreate && unit.StartsFirst(&s):
			// Its successor starts beside it.
		case op.Kind == plan.Recreate:
			u.retired = append(u.retired, unit.RetirePorts(&s))
		case op.Kind == plan.Remove && !declared:
			u.retired = append(u.retired, unit.RetirePorts(nil))
		}
	}
}

// settlePorts is the end of what openPorts began, whatever came of the plan:
// closed is what was opened for containers that did not come to run, open again
// what was closed of containers that still do.
func (u *up) settlePorts(ctx context.Context, pl *plan.Plan) {
	for _, name := range pl.Services() {
		if s, ok := u.req.Project.Services[name]; ok && len(s.Ports) > 0 {
			u.e.warn(u.p.ReleasePorts(s))
		}
	}
	for _, again := range u.retired {
		u.e.warn(again(context.WithoutCancel(ctx)))
	}
}

// meta is what is recorded with the declaration. Providers that were not asked
// this time have answered before.
func (u *up) meta() api.Meta {
	meta := u.req.Meta
	_, was := u.p.Declared()
	if len(was.Provided) > 0 {
		meta.Provided = maps.Clone(was.Provided)
		maps.Copy(meta.Provided, u.req.Meta.Provided)
	}
	return meta
}

// execute puts the declaration on record and carries the plan out.
func (u *up) execute(ctx context.Context, pl *plan.Plan) error {
	defer u.settlePorts(ctx, pl)
	if err := u.p.Declare(u.req.Project, u.meta()); err != nil {
		return err
	}
	x := supervise.Execution{
		Project: u.p, Images: u.images, Hashes: u.hashes, Timeout: u.req.Timeout,
		RenewAnon: u.req.RenewAnonVolumes, Parallel: u.req.Parallel, Emit: u.emit,
		Among: func(s string) bool { return slices.Contains(u.selected, s) },
	}
	defer func() { u.e.warn(u.p.Supplant(context.WithoutCancel(ctx))) }() // what did not come to take over
	return x.Run(ctx, pl)
}

func (u *up) wait(ctx context.Context) error {
	if !u.req.Wait || u.req.NoStart {
		return nil
	}
	if t := time.Duration(u.req.WaitTimeout); t > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, t, fmt.Errorf("timeout of %s is over", t))
		defer cancel()
	}
	return u.p.AwaitReady(ctx, u.selected, u.emit)
}

// forgetUnused drops a project that an operation named but that has nothing.
func (e *Engine) forgetUnused(p *supervise.Project) error {
	declared, _ := p.Declared()
	if !p.Empty() || len(declared.Services) > 0 {
		return nil
	}
	return e.forget(p)
}

// joinAPI makes one error of several, so that all of them reach the user.
func joinAPI(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return errors.Join(errs...)
}
