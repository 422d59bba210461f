package live

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/supervise"
	"devstack/engine/watch"
	"devstack/engine/watch/notify"
)

// Engine is what a Session has done.
type Engine interface {
	// Project is nil where the engine does not know it.
	Project(name string) *supervise.Project
	Build(ctx context.Context, req api.BuildRequest, emit func(api.Message)) (api.BuildResult, error)
	Up(ctx context.Context, req api.UpRequest, emit func(api.Message)) (api.UpResult, error)
	Restart(ctx context.Context, req api.ServiceRequest, emit func(api.Message)) (struct{}, error)
	// PruneImage removes an image that a rebuild replaced, unless it is in use.
	PruneImage(ctx context.Context, id string)
	// BaseImage is what rules are derived from; false where it is not there.
	BaseImage(ref string) (watch.Image, bool)
	Warn(error)
}

// Options of a Session.
type Options struct {
	Request api.WatchRequest
	Engine  Engine
	// Dir holds what outlives the session: the index of the files, which
	// containers are known, and what images have that the host has lost.
	Dir string
	// Report takes what happens, from several goroutines.
	Report func(api.Message)
}

// Session is one project being watched.
type Session struct {
	o     Options
	lanes sync.WaitGroup

	mu      sync.Mutex
	project *compose.Project // by which it is watched
	next    *compose.Project // that a reload has declared; nil: none has
	from    Sources          // of the project; Run's goroutine uses it
	rules   *watch.Rules
	watcher *notify.Watcher
	loops   *watch.Detector
	lane    map[string]*lane
	known   *known // containers whose tree is equal to the host's, but for what is not committed
	gone    *gone

	reload reload // the owner is Run's goroutine
}

// Run watches until ctx ends, or the project is gone. ready is called once:
// from then on no change is missed.
func Run(ctx context.Context, o Options, ready func(rules int)) error {
	s := &Session{o: o, lane: map[string]*lane{}, known: openKnown(filepath.Join(o.Dir, "containers")), gone: openGone(filepath.Join(o.Dir, "gone"))}
	project, from, err := s.load(ctx)
	if err != nil {
		// The files may be in the middle of an edit: what runs is watched as it is.
		p := o.Engine.Project(o.Request.Name)
		if p == nil || ctx.Err() != nil {
			return err
		}
		project, _ = p.Declared()
		s.reload.failed = true
	}
	loadErr := err
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		s.reload.wait()
		s.lanes.Wait()
		if w := s.watching(); w != nil {
			o.Engine.Warn(w.Close())
		}
	}()
	if err := s.open(ctx, project, from, start(o.Request.Since)); err != nil {
		return err
	}
	p := s.running()
	if p == nil {
		return &api.Error{Message: "nothing of project " + project.Name + " is there: `devstack up` first"}
	}
	p.SetPrepare(s.prepare)
	defer p.SetPrepare(nil)
	if loadErr != nil {
		s.report(api.WatchReport{Kind: api.WatchFailed, Action: "reload", Cause: "the project", Error: asError(loadErr)})
	}
	s.catchUp(ctx)
	ready(len(s.current().All()))
	s.report(api.WatchReport{Kind: api.WatchReady, Text: s.summary()})
	s.reconcileUnknown(ctx, p)
	return s.loop(ctx)
}

// reconcileUnknown makes the trees of containers equal to the host's of which
// nobody knows whether they are.
func (s *Session) reconcileUnknown(ctx context.Context, p *supervise.Project) {
	s.forgetContainers(p)
	for _, u := range p.Units() {
		if !u.OneOff() && !s.known.has(u.ID()) {
			s.laneOf(u.Service()).add(ctx, &task{reconcile: true, at: time.Now()})
		}
	}
}

// forgetContainers keeps what is remembered of containers to those that there
// are.
func (s *Session) forgetContainers(p *supervise.Project) {
	there := map[string]bool{}
	for _, u := range p.Units() {
		there[u.ID()] = true
	}
	s.known.retain(func(id string) bool { return there[id] })
}

func (s *Session) loop(ctx context.Context) error {
	for {
		select {
		case b, ok := <-s.watching().Batches():
			if !ok {
				if ctx.Err() != nil {
					return nil
				}
				return errors.New("watch: the watcher ended")
			}
			s.batch(ctx, b)
		case res := <-s.reload.result:
			if err := s.reloaded(ctx, res); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// open compiles the rules of a project and watches what they are about.
func (s *Session) open(ctx context.Context, p *compose.Project, from Sources, late late) error {
	rules, findings := Compile(p, from, s.o.Request, s.o.Engine.BaseImage)
	for _, f := range findings {
		text := f.Message
		if f.Pos.IsValid() {
			text = f.Pos.String() + ": " + text
		}
		s.notice(f.Service, text, f.Hint)
	}
	if w := s.watching(); w != nil {
		if err := w.Close(); err != nil {
			s.o.Engine.Warn(err)
		}
	}
	if err := os.MkdirAll(s.o.Dir, 0o700); err != nil {
		return err
	}
	w, err := notify.Open(ctx, notify.Options{
		Roots: rules.Roots(), State: filepath.Join(s.o.Dir, "index"), Since: late.since, Late: late.counts(rules), Base: p.WorkingDir,
		Notice: func(n notify.Notice) { s.notice("", n.Text, n.Hint) },
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.project, s.from, s.rules, s.watcher, s.loops = p, from, rules, w, watch.NewDetector(p)
	return nil
}

// late says what of that counts which changed before it was watched for the
// first time.
type late struct {
	since   time.Time
	rebuild bool // only what is rebuilt on: the rest is found by comparing
}

// start is for a session's beginning: images were built since.
func start(since time.Time) late { return late{since, true} }

func (l late) counts(rules *watch.Rules) func(string) bool {
	if !l.rebuild {
		return nil
	}
	return func(path string) bool {
		return slices.ContainsFunc(rules.Match(path), func(h watch.Hit) bool { return h.Rule.Action == watch.Rebuild })
	}
}

// Compile makes the rules that a request asks for.
func Compile(p *compose.Project, from Sources, req api.WatchRequest, image func(string) (watch.Image, bool)) (*watch.Rules, []watch.Finding) {
	return watch.Compile(p, watch.Options{
		Services: req.Services, ReadFile: os.ReadFile, Stat: os.Stat, EvalSymlinks: filepath.EvalSymlinks,
		Image: image, Model: from.model(),
	})
}

func (s *Session) watching() *notify.Watcher {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watcher
}

func (s *Session) current() *watch.Rules {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rules
}

func (s *Session) declared() *compose.Project {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.project
}

// running is the project in the engine; nil: it is gone.
func (s *Session) running() *supervise.Project { return s.o.Engine.Project(s.declared().Name) }

// latest is what is declared. While a reload comes to its end it is newer than
// what is watched by.
func (s *Session) latest() *compose.Project {
	s.mu.Lock()
	defer s.mu.Unlock()
	return cmp.Or(s.next, s.project)
}

// declare makes a project the latest; undo takes that back.
func (s *Session) declare(p *compose.Project) (undo func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.next
	s.next = p
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.next = before
	}
}

// batch hands the work of a batch to the services' lanes.
func (s *Session) batch(ctx context.Context, b watch.Batch) {
	if b.At.IsZero() {
		b.At = time.Now()
	}
	rules, works, hold := s.plan(b)
	model := rules.ChangedModel(b)
	w := s.watching()
	t := newToken(len(works)+1, func() { w.Commit(b) })
	for _, work := range works {
		s.laneOf(work.Service).add(ctx, &task{Work: work, tokens: []*token{t}, at: b.At, hold: hold[work.Service], rules: rules})
	}
	if len(model) == 0 {
		t.done()
		return
	}
	s.modelChanged(ctx, model, b.At, t)
}

// plan says what a batch means, and which services wait a while for more; a
// path that a service writes itself over and over again means nothing any more.
func (s *Session) plan(b watch.Batch) (*watch.Rules, []watch.Work, map[string]time.Duration) {
	s.mu.Lock()
	works := s.rules.Plan(b)
	found := s.loops.Changed(b, works)
	for _, l := range found.Loops {
		s.rules = s.rules.Mute(l)
	}
	if len(found.Loops) > 0 {
		works = s.rules.Plan(b)
	}
	rules := s.rules
	s.mu.Unlock()
	for _, l := range found.Loops {
		l.Path = s.relative(l.Path)
		s.notice(l.Service, l.String(), "")
	}
	return rules, works, found.Hold
}

// prepare makes the tree of a container that is not known equal to the host's
// before its program starts.
func (s *Session) prepare(ctx context.Context, u *supervise.Unit, withRoot func(func(string) error) error) error {
	if s.known.has(u.ID()) {
		return nil
	}
	if _, err := s.reconcile(ctx, u, withRoot); err != nil {
		s.report(api.WatchReport{Kind: api.WatchFailed, Service: u.Service(), Action: watch.Sync, Error: asError(err)})
	}
	return nil // it may start all the same; it is tried again with the next change
}
