package live

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/supervise"
	"devstack/engine/watch"
	"devstack/engine/watch/apply"
)

// carryOut does the work of a task and reports on it.
func (s *Session) carryOut(ctx context.Context, l *lane, t *task) error {
	if err := l.holdBack(ctx, t.hold); err != nil {
		return err
	}
	s.acting(t.Service, true)
	defer s.acting(t.Service, false)
	action := actionOf(t)
	look := t.reconcile && len(t.Causes) == 0 && t.cause == "" // whether it is as it should be
	if !look {
		s.reportTask(api.WatchChanged, action, t, "", nil)
	}
	l.served = false
	text, err := s.do(ctx, l, t)
	switch {
	case errors.Is(err, errSuperseded):
		s.reportTask(api.WatchNotice, action, t, "a newer edit came: "+action+" of "+t.Service+" begins anew", nil)
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		s.reportTask(api.WatchFailed, action, t, "", err)
		return err
	case text == "" && look:
		return nil // it was
	}
	s.reportTask(api.WatchDone, action, t, text, nil)
	if l.served {
		s.lookAfter(ctx, action, t)
	}
	return nil
}

// lookAfter reports when what was started just now does not last: without a
// healthcheck nothing else would tell of a program that dies of an edit a
// moment after its start.
func (s *Session) lookAfter(ctx context.Context, action string, t *task) {
	p := s.running()
	if p == nil {
		return
	}
	for _, u := range p.ServiceUnits(t.Service) {
		s.lanes.Go(func() {
			if err := u.AwaitCrash(ctx); err != nil {
				s.reportTask(api.WatchFailed, action, t, "", &api.Error{Service: t.Service, Message: err.Error(), Detail: u.Evidence(false)})
			}
		})
	}
}

// actionOf names what a task does.
func actionOf(t *task) string {
	switch {
	case t.Rebuild:
		return watch.Rebuild
	case len(t.Ops) > 0 && t.Restart:
		return watch.SyncRestart
	case t.Restart:
		return watch.Restart
	case len(t.Exec) > 0:
		return watch.SyncExec
	}
	return watch.Sync
}

func (s *Session) do(ctx context.Context, l *lane, t *task) (text string, err error) {
	p := s.running()
	if p == nil {
		return "", errors.New("the project is gone")
	}
	if t.Rebuild {
		told, same, err := s.rebuild(ctx, l, t)
		if err != nil {
			return "", err
		}
		if !same {
			return told, s.follow(ctx, l)
		}
		text = "the image is the same" // and what is to be copied or restarted is not done with it
	}
	units := p.ServiceUnits(t.Service)
	if len(units) == 0 {
		return "no container", nil
	}
	var sum apply.Result
	for _, u := range units {
		res, err := s.sync(ctx, u, t)
		sum = add(sum, res)
		if err != nil {
			return "", fmt.Errorf("sync to %s: %w", u.Name(), err)
		}
	}
	restart := t.Restart
	if t.reconcile && changed(sum) {
		// What runs was started from other files than it would be now.
		restart = restart || slices.ContainsFunc(s.current().Of(t.Service), (*watch.Rule).Restarts)
	}
	if changed(sum) {
		text = strings.TrimPrefix(text+", "+sum.String(), ", ")
	}
	for _, x := range t.Exec {
		for _, u := range units {
			if u.Process() == nil {
				continue
			}
			if err := s.exec(ctx, u, x.Hook); err != nil {
				return "", err
			}
		}
	}
	if restart {
		err = s.restart(ctx, l, t.Service)
	}
	if err == nil {
		err = s.follow(ctx, l)
	}
	return text, err
}

func changed(r apply.Result) bool { return r.Written+r.Made+r.Removed > 0 }

func add(a, b apply.Result) apply.Result {
	a.Written, a.Made, a.Removed, a.Same, a.Bytes = a.Written+b.Written, a.Made+b.Made, a.Removed+b.Removed, a.Same+b.Same, a.Bytes+b.Bytes
	return a
}

// sync makes a container's files equal to the host's: those that the task is
// about, or all if its tree is not known.
func (s *Session) sync(ctx context.Context, u *supervise.Unit, t *task) (res apply.Result, err error) {
	s.o.Engine.Warn(s.gone.note(imageOf(u), t.Ops))
	if !s.known.has(u.ID()) {
		return s.reconcile(ctx, u, u.WithRoot)
	}
	if res, err = s.apply(ctx, u, u.WithRoot, t.Ops, apply.Options{}); err != nil {
		s.o.Engine.Warn(s.known.set(u.ID(), false)) // whatever it has now
	}
	return res, err
}

// reconcile makes all that the rules copy equal, by content, and removes what
// its image still has of what was removed from the host.
func (s *Session) reconcile(ctx context.Context, u *supervise.Unit, withRoot func(func(string) error) error) (res apply.Result, err error) {
	if w := s.watching(); w != nil {
		paths := slices.Concat(w.All(), s.gone.of(imageOf(u)))
		ops := s.current().PlanAll(u.Service(), paths)
		res, err = s.apply(ctx, u, withRoot, ops, apply.Options{Compare: true})
	}
	if err == nil {
		s.o.Engine.Warn(s.known.set(u.ID(), true))
	}
	return res, err
}

// apply carries out operations in a container's root. It reports the files of
// the host that could not be read, and gives what else went wrong: they come
// when they can be read, and hold up nobody.
func (s *Session) apply(ctx context.Context, u *supervise.Unit, withRoot func(func(string) error) error, ops []watch.Op, o apply.Options) (res apply.Result, err error) {
	if len(ops) == 0 {
		return res, nil
	}
	err = withRoot(func(path string) error {
		root, err := apply.Open(path)
		if err != nil {
			return err
		}
		defer root.Close()
		res, err = root.Apply(ctx, ops, o)
		return err
	})
	faults, err := apply.Unreadable(err)
	for _, f := range faults {
		s.notice(u.Service(), f.Error()+": it is left out", f.Hint)
	}
	return res, err
}

// exec runs the command of a sync+exec rule.
func (s *Session) exec(ctx context.Context, u *supervise.Unit, h *compose.Hook) error {
	out, code, err := u.RunHook(ctx, *h)
	if err == nil && code == 0 {
		if out = strings.TrimRight(out, "\n"); out != "" {
			s.notice(u.Service(), out, "")
		}
		return nil
	}
	e := asError(err)
	if err == nil {
		e = &api.Error{Message: fmt.Sprintf("%s ended with exit code %d", strings.Join(h.Command, " "), code)}
	}
	if out != "" {
		e.Detail = strings.Split(strings.TrimRight(out, "\n"), "\n")
	}
	return e
}

// restart restarts a service in place; dependents that ask for it are left
// behind, for follow.
func (s *Session) restart(ctx context.Context, l *lane, service string) error {
	if err := s.awaitConditions(ctx, l, s.latest(), service); err != nil {
		return err
	}
	if err := s.restartOnly(ctx, []string{service}, func(api.Message) {}); err != nil {
		return err
	}
	if err := l.leaveBehind(s.latest(), service); err != nil {
		return err
	}
	return s.serving(ctx, l, service)
}

// serving waits until a service's containers do their work again, or there is
// more to do for them.
func (s *Session) serving(ctx context.Context, l *lane, service string) error {
	l.setServing(true)
	defer l.setServing(false)
	ours := false
	err := l.supersedable(ctx, func(ctx context.Context) (err error) {
		ours, err = s.served(ctx, service)
		return err
	})
	if errors.Is(err, errSuperseded) {
		return nil
	}
	l.served = ours && err == nil
	return err
}

// served waits until a service's containers do their work; ours is false where
// somebody stopped or restarted one by hand meanwhile, and knows what he does.
func (s *Session) served(ctx context.Context, service string) (ours bool, err error) {
	p := s.running()
	if p == nil {
		return false, nil
	}
	ours = true
	for _, u := range p.ServiceUnits(service) {
		is, err := unitServed(ctx, u)
		if err != nil {
			return false, err
		}
		ours = ours && is
	}
	return ours, nil
}

// unitServed is served for one container.
func unitServed(ctx context.Context, u *supervise.Unit) (ours bool, err error) {
	for ours = true; ; ours = false {
		runs := u.Runs()
		err := u.AwaitServing(ctx)
		rec := u.Record()
		switch {
		case err == nil || rec.State == api.StateExited && rec.ExitCode == 0 && rec.Error == "":
			return ours, nil
		case ctx.Err() != nil:
			return false, context.Cause(ctx)
		case u.Runs() != runs:
			continue
		case !rec.Wanted:
			return false, nil
		}
		return false, &api.Error{Service: u.Service(), Message: err.Error(), Detail: u.Evidence(rec.Health == api.HealthUnhealthy)}
	}
}

// followers reports on the containers that restart because service does.
func (s *Session) followers(service string) func(api.Message) {
	begun := map[string]time.Time{}
	units := map[string]string{}
	if p := s.running(); p != nil {
		for _, u := range p.Units() {
			units["Container "+u.Name()] = u.Service()
		}
	}
	emit := serialized(func(m api.Message) {
		p := m.Progress
		if p == nil || units[p.ID] == service || units[p.ID] == "" {
			return
		}
		switch {
		case p.State == api.Working && begun[p.ID].IsZero():
			begun[p.ID] = time.Now()
		case p.State == api.Done && (p.Text == "Started" || p.Text == "Restarted"):
			s.report(api.WatchReport{
				Kind: api.WatchDone, Service: units[p.ID], Action: watch.Restart, Cause: service + " restarted",
				Took: compose.Duration(time.Since(begun[p.ID])),
			})
		}
	})
	return emit
}

// rebuild builds a service's image and replaces its containers, unless they
// have it already: same.
func (s *Session) rebuild(ctx context.Context, l *lane, t *task) (text string, same bool, err error) {
	project, err := s.buildDeclared(ctx, l, t.Service)
	if err != nil {
		return "", false, err
	}
	if _, still := project.Services[t.Service]; !still {
		return "no service", false, nil
	}
	before := s.images(t.Service)
	taken := s.withShared(project, t.Service)
	if err := s.up(ctx, project, t.Service, s.followers(t.Service)); err != nil {
		return "", false, err
	}
	if p := s.running(); p != nil {
		s.forgetContainers(p)
	}
	after := s.images(t.Service)
	if maps.Equal(before, after) {
		return "", true, nil
	}
	s.o.Engine.Warn(s.gone.retain(func(id string) bool { return !before[id] || s.uses(id) }))
	if s.o.Request.Prune {
		for id := range before {
			if !after[id] {
				s.o.Engine.PruneImage(ctx, id)
			}
		}
	}
	if err := l.leaveBehind(project, taken...); err != nil {
		return "", false, err
	}
	return "", false, s.serving(ctx, l, t.Service)
}

// buildDeclared builds a service's image. It returns the project as it is
// declared then, which may be another one than before a long build.
func (s *Session) buildDeclared(ctx context.Context, l *lane, service string) (*compose.Project, error) {
	for project := s.latest(); ; {
		err := l.supersedable(ctx, func(ctx context.Context) error { return s.build(ctx, project, service) })
		was := project
		project = s.latest()
		now, still := project.Services[service]
		switch {
		case !still:
			return project, nil
		case err != nil || reflect.DeepEqual(was.Services[service].Build, now.Build):
			return project, err
		}
	}
}

// build builds the images of services.
func (s *Session) build(ctx context.Context, p *compose.Project, services ...string) error {
	_, err := s.o.Engine.Build(ctx, api.BuildRequest{
		Project: p, Services: services, WorkingDir: p.WorkingDir, Credentials: s.o.Request.Credentials, Lock: s.o.Request.Lock,
	}, s.o.Report)
	return err
}

// images are the images of a service's containers.
func (s *Session) images(service string) map[string]bool {
	out := map[string]bool{}
	if p := s.running(); p != nil {
		for _, u := range p.ServiceUnits(service) {
			out[imageOf(u)] = true
		}
	}
	return out
}

// uses says whether a container is made of an image.
func (s *Session) uses(image string) bool {
	p := s.running()
	return p != nil && slices.ContainsFunc(p.Units(), func(u *supervise.Unit) bool { return imageOf(u) == image })
}

func imageOf(u *supervise.Unit) string { return string(u.Record().Image.ID) }

// up makes a service as declared, without a build, and what shares its
// namespaces.
func (s *Session) up(ctx context.Context, p *compose.Project, service string, emit func(api.Message)) error {
	req := s.upRequest(p, []string{service})
	req.NoBuild, req.NoFollow = true, true
	_, err := s.o.Engine.Up(ctx, req, emit)
	return err
}

// upRequest has a copy of the project: an Up fills it in, and the engine goes on
// to read it.
func (s *Session) upRequest(p *compose.Project, services []string) api.UpRequest {
	req, own := s.o.Request, *p
	own.Services, own.Disabled = maps.Clone(p.Services), maps.Clone(p.Disabled)
	return api.UpRequest{
		Project: &own, Meta: api.MetaOf(p, req.Load.EnvFiles), Services: services, Scale: scaleOf(req.Scale, services),
		Credentials: req.Credentials, Lock: req.Lock, Edit: true,
	}
}

// scaleOf is what `up --scale` said about services; none means all.
func scaleOf(scale map[string]int, services []string) map[string]int {
	out := maps.Clone(scale)
	maps.DeleteFunc(out, func(name string, _ int) bool { return len(services) > 0 && !slices.Contains(services, name) })
	return out
}

// acting tells the loop detector what is done to a service.
func (s *Session) acting(service string, begins bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if begins {
		s.loops.Begin(service, time.Now())
	} else {
		s.loops.End(service, time.Now())
	}
}
