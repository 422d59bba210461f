package live

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/watch"
)

// reload is a change of the model being carried out, in a goroutine of its own.
type reload struct {
	cancel context.CancelCauseFunc
	result chan *reloadResult // nil: none is under way
	files  []watch.ModelFile
	tokens []*token
	at     time.Time
	failed bool // the last one: what it was about is tried again
}

type reloadResult struct {
	project *compose.Project // nil: it stays as it was
	from    Sources
	err     error
}

// wait lets a reload that was cancelled come to its end.
func (r *reload) wait() {
	if r.result != nil {
		<-r.result
	}
}

// modelChanged loads the project again, instead of a reload that is under way.
func (s *Session) modelChanged(ctx context.Context, files []watch.ModelFile, at time.Time, t *token) {
	r := &s.reload
	if r.result == nil || r.failed {
		r.at = at // else it goes on since the edit before
	}
	if r.result != nil {
		r.cancel(errSuperseded)
		r.wait()
	}
	for _, f := range files {
		if !slices.ContainsFunc(r.files, func(g watch.ModelFile) bool { return g.Path == f.Path }) {
			r.files = append(r.files, f)
		}
	}
	r.tokens = append(r.tokens, t)
	var sub context.Context
	sub, r.cancel = context.WithCancelCause(ctx)
	result := make(chan *reloadResult, 1)
	r.result = result
	work := slices.Clone(r.files)
	began := r.at
	go func() {
		result <- s.loadAndUp(ctx, sub, work, began)
	}()
}

// reloaded ends a reload.
func (s *Session) reloaded(ctx context.Context, res *reloadResult) error {
	r := &s.reload
	r.result = nil
	if ctx.Err() != nil {
		return nil // not committed: the next session does it
	}
	for _, t := range r.tokens {
		t.done()
	}
	r.tokens, r.failed = nil, res.err != nil
	if res.err != nil {
		return s.alsoWatch(ctx, res.from)
	}
	s.declare(res.project)
	files := r.files
	r.files = nil
	derived := slices.ContainsFunc(files, func(f watch.ModelFile) bool {
		return f.Kind == watch.Dockerfile || f.Kind == watch.DockerIgnore
	})
	if derived || !s.from.same(res.from) || !sameRules(s.declared(), res.project) {
		return s.reopen(ctx, res.project, res.from, r.at)
	}
	rules, _ := Compile(res.project, res.from, s.o.Request, s.o.Engine.BaseImage)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.project, s.from, s.rules, s.loops = res.project, res.from, rules, watch.NewDetector(res.project)
	return nil
}

// alsoWatch adds files to what is watched: what is wrong may be in one of which
// the project knew nothing before.
func (s *Session) alsoWatch(ctx context.Context, from Sources) error {
	if s.from.covers(from) {
		return nil
	}
	all := maps.Clone(s.from)
	maps.Copy(all, from)
	return s.reopen(ctx, s.declared(), all, time.Time{})
}

// reopen watches by other rules. since is when the edit came that changed them;
// what is watched now and was not before may have changed since then.
func (s *Session) reopen(ctx context.Context, p *compose.Project, from Sources, since time.Time) error {
	s.mu.Lock()
	lanes := slices.Collect(maps.Values(s.lane)) // who has a lane's lock may ask for the session's
	s.mu.Unlock()
	for _, l := range lanes {
		l.stopWaiting() // for a service that may never come up
	}
	s.lanes.Wait() // they commit to the watcher that goes
	if err := s.open(ctx, p, from, late{since: since}); err != nil {
		return err
	}
	if running := s.running(); running != nil && !since.IsZero() {
		for _, u := range running.Units() {
			s.o.Engine.Warn(s.known.set(u.ID(), false))
		}
		s.reconcileUnknown(ctx, running)
	}
	s.catchUp(ctx)
	return nil
}

// catchUp loads the project again if it was edited after it was read and before
// it was watched.
func (s *Session) catchUp(ctx context.Context) {
	if files := s.from.changed(); len(files) > 0 {
		s.modelChanged(ctx, files, time.Now(), newToken(1, func() {}))
	}
}

// sameRules reports whether two versions of a project are watched alike.
func sameRules(a, b *compose.Project) bool {
	return reflect.DeepEqual(aspects(a), aspects(b)) && reflect.DeepEqual(watch.Model(a), watch.Model(b))
}

// aspects are the parts of services that decide what is watched.
func aspects(p *compose.Project) map[string][]any {
	out := map[string][]any{}
	for name, s := range p.Services {
		out[name] = []any{s.Develop, s.Build, s.Volumes, s.Extensions[compose.ExtensionKey]}
	}
	return out
}

// loadAndUp loads the project, says what changes, and brings it about. The
// project that runs stays as it is when anything is wrong with the files. ctx
// ends when a newer edit comes, session with the session.
func (s *Session) loadAndUp(session, ctx context.Context, files []watch.ModelFile, at time.Time) *reloadResult {
	old := s.declared()
	var paths []string
	for _, f := range files {
		paths = append(paths, f.Path)
	}
	r := api.WatchReport{Action: "reload"}
	r.Paths, r.More = s.shorten(paths)
	tell := func(kind, text string, err error) {
		r := r
		r.Kind, r.Text, r.Took = kind, text, compose.Duration(time.Since(at))
		if err != nil {
			r.Error = asError(err)
		}
		s.report(r)
	}
	p, from, err := s.load(ctx)
	fail := func(err error) *reloadResult {
		if ctx.Err() == nil {
			tell(api.WatchFailed, "", err)
		}
		return &reloadResult{nil, from, err}
	}
	if err != nil {
		return fail(err)
	}
	if p.Name != old.Name {
		return fail(&api.Error{Message: "the project is now called " + p.Name, Hint: "`devstack down` the old one and start anew"})
	}
	rebuild := rebuilds(old, p, files)
	if len(rebuild) > 0 {
		tell(api.WatchChanged, "builds "+strings.Join(rebuild, ", "), nil)
		if err := s.build(ctx, p, rebuild...); err != nil {
			return fail(err)
		}
	}
	req := s.upRequest(p, s.o.Request.Services)
	req.RemoveOrphans = slices.ContainsFunc(old.ServiceNames(), func(name string) bool {
		_, still := p.Services[name]
		_, disabled := p.Disabled[name]
		return !still && !disabled
	})
	dry := req
	dry.DryRun = true
	planned, err := s.o.Engine.Up(ctx, dry, func(api.Message) {})
	if err != nil {
		return fail(err)
	}
	plan := strings.TrimRight(planned.Plan, "\n")
	readers := s.readersOf(files)
	switch {
	case planned.Changes:
		tell(api.WatchPlan, plan, nil)
		before := s.generations()
		undo := s.declare(p) // rebuilds that end meanwhile must not bring back the old one
		if _, err := s.o.Engine.Up(ctx, req, s.o.Report); err != nil {
			undo()
			return fail(err)
		}
		// What is declared counts from now on, whether it comes up or not.
		failed := s.awaitAll(ctx, before)
		for _, err := range failed {
			tell(api.WatchFailed, "", err)
		}
		if len(failed) == 0 {
			tell(api.WatchDone, "", nil)
		}
	case len(readers) == 0:
		tell(api.WatchDone, plan, nil)
	}
	s.restartReaders(session, readers, at)
	return &reloadResult{p, from, nil}
}

// generation is one start of a container.
type generation struct {
	id   string
	runs int
}

// generations are the project's containers as they run now.
func (s *Session) generations() map[generation]bool {
	out := map[generation]bool{}
	if p := s.running(); p != nil {
		for _, u := range p.Units() {
			out[generation{u.ID(), u.Runs()}] = true
		}
	}
	return out
}

// awaitAll waits until the services of which something was started since before
// do their work, and gives the errors of those that do not.
func (s *Session) awaitAll(ctx context.Context, before map[generation]bool) (failed []error) {
	p := s.running()
	if p == nil {
		return nil
	}
	var done []string
	for _, u := range p.Units() {
		if u.OneOff() || before[generation{u.ID(), u.Runs()}] || slices.Contains(done, u.Service()) {
			continue
		}
		done = append(done, u.Service())
		if _, err := s.served(ctx, u.Service()); err != nil && ctx.Err() == nil {
			failed = append(failed, err)
		}
	}
	return failed
}

// readersOf are the containers of services that have one of the files as a
// config or secret: they read it when they start.
func (s *Session) readersOf(files []watch.ModelFile) map[string]*task {
	out := map[string]*task{}
	running := s.running()
	for _, f := range files {
		if f.Kind != watch.ConfigFile && f.Kind != watch.SecretFile || running == nil {
			continue
		}
		for _, service := range f.Services {
			for _, u := range running.ServiceUnits(service) {
				first, _ := s.shorten([]string{f.Path})
				out[u.ID()] = &task{Work: watch.Work{Service: service, Restart: true}, cause: first[0]}
			}
		}
	}
	return out
}

// restartReaders restarts those that were not replaced.
func (s *Session) restartReaders(ctx context.Context, readers map[string]*task, at time.Time) {
	running := s.running()
	if running == nil {
		return
	}
	done := map[string]bool{}
	for _, u := range running.Units() {
		if t := readers[u.ID()]; t != nil && !done[t.Service] {
			done[t.Service] = true
			t.at = at
			s.laneOf(t.Service).add(ctx, t)
		}
	}
}

// rebuilds are the services whose image changed files or settings make stale.
func rebuilds(old, now *compose.Project, files []watch.ModelFile) []string {
	var out []string
	for _, name := range now.ServiceNames() {
		s := now.Services[name]
		if s.Build == nil {
			continue
		}
		before, known := old.Services[name]
		stale := known && before.Build != nil && !reflect.DeepEqual(before.Build, s.Build)
		for _, f := range files {
			if f.Kind == watch.Dockerfile || f.Kind == watch.DockerIgnore {
				stale = stale || slices.Contains(f.Services, name)
			}
		}
		if stale {
			out = append(out, name)
		}
	}
	return out
}
