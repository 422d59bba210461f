package live

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"devstack/engine/watch"
)

// errSuperseded cancels what a newer edit makes pointless.
var errSuperseded = errors.New("a newer edit came")

// token is a batch's commit: done once all its work is.
type token struct {
	left   atomic.Int32
	commit func()
}

func newToken(n int, commit func()) *token {
	t := &token{commit: commit}
	t.left.Store(int32(n))
	return t
}

func (t *token) done() {
	if t.left.Add(-1) == 0 {
		t.commit()
	}
}

// task is work for one service, of one batch or of several.
type task struct {
	watch.Work
	reconcile bool   // containers whose tree is not known get all
	cause     string // where it is no path
	at        time.Time
	hold      time.Duration // to wait for whether there is more
	tokens    []*token
	rules     *watch.Rules // that Work was planned by; nil: by none
}

// merge is the work of both, of which either may be nil; a is the older one.
func merge(a, b *task) *task {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	out := *a
	out.Rebuild, out.Restart, out.reconcile = a.Rebuild || b.Rebuild, a.Restart || b.Restart, a.reconcile || b.reconcile
	out.Service, out.hold = b.Service, b.hold
	out.tokens = slices.Concat(a.tokens, b.tokens)
	if out.rules == nil {
		out.rules = b.rules
	}
	out.Causes = slices.Concat(a.Causes, b.Causes)
	if out.cause == "" {
		out.cause = b.cause
	}
	targets := map[string]bool{}
	for _, op := range b.Ops {
		targets[op.Target] = true
	}
	out.Ops = slices.Concat(slices.DeleteFunc(slices.Clone(a.Ops), func(op watch.Op) bool { return targets[op.Target] }), b.Ops)
	out.Exec = slices.Clone(a.Exec)
	for _, x := range b.Exec {
		if !slices.ContainsFunc(out.Exec, func(y watch.Exec) bool { return x.Rule == y.Rule }) {
			out.Exec = append(out.Exec, x)
		}
	}
	return &out
}

// replan makes of a task what other rules say to the same paths: what failed may
// have been the rule's fault.
func replan(t *task, rules *watch.Rules) *task {
	if t == nil || t.rules == nil || t.rules == rules {
		return t
	}
	var b watch.Batch
	for _, c := range t.Causes {
		for _, path := range c.Paths {
			change := watch.Change{Path: path, Event: watch.Written, Kind: watch.File}
			switch info, err := os.Lstat(path); {
			case err != nil:
				change.Event = watch.Removed
			case info.IsDir():
				change.Kind = watch.Dir
			case info.Mode()&os.ModeSymlink != 0:
				change.Kind = watch.Symlink
			}
			b.Changes = append(b.Changes, change)
		}
	}
	slices.SortFunc(b.Changes, func(x, y watch.Change) int { return cmp.Compare(x.Path, y.Path) })
	b.Changes = slices.CompactFunc(b.Changes, func(x, y watch.Change) bool { return x.Path == y.Path })
	out := *t
	out.rules = rules
	out.Work = watch.Work{Service: t.Service}
	for _, w := range rules.Plan(b) {
		if w.Service == t.Service {
			out.Work = w
		}
	}
	out.Restart = out.Restart || t.Restart && t.cause != "" // that no rule asked for
	return &out
}

// merged is merge by the rules that count now.
func (l *lane) merged(a, b *task) *task {
	rules := l.s.current()
	return merge(replan(a, rules), replan(b, rules))
}

// lane does the work of one service, one task after the other.
type lane struct {
	s       *Session
	service string
	behind  []string // services that have to restart yet, see follow; of the lane's goroutine
	served  bool     // the task under way has brought the service up; of the lane's goroutine

	mu      sync.Mutex
	pending *task
	failed  *task // to be tried again with the next change
	busy    bool
	cancel  context.CancelCauseFunc // of what a newer edit supersedes; nil where nothing is
	serving bool                    // that is a wait for the service, and no work
}

func (s *Session) laneOf(service string) *lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lane[service]
	if l == nil {
		l = &lane{s: s, service: service}
		s.lane[service] = l
	}
	return l
}

// add gives the lane more work.
func (l *lane) add(ctx context.Context, t *task) {
	t.Service = l.service
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = l.merged(l.pending, t)
	if l.cancel != nil {
		l.cancel(errSuperseded)
	}
	if !l.busy {
		l.busy = true
		l.s.lanes.Go(func() { l.run(ctx) })
	}
}

func (l *lane) run(ctx context.Context) {
	for {
		l.mu.Lock()
		if l.pending == nil || ctx.Err() != nil {
			l.busy = false
			l.mu.Unlock()
			return
		}
		t := l.merged(l.failed, l.pending)
		if l.failed != nil {
			t.at = l.pending.at // the wait since the failure is the user's
		}
		l.pending, l.failed = nil, nil
		l.mu.Unlock()
		err := l.s.carryOut(ctx, l, t)
		l.mu.Lock()
		switch {
		case errors.Is(err, errSuperseded):
			l.pending = l.merged(t, l.pending)
			l.mu.Unlock()
			continue
		case ctx.Err() != nil: // not committed: the next session does it
			l.busy = false
			l.mu.Unlock()
			return
		case err != nil:
			again := *t
			again.tokens = nil
			l.failed = &again
		}
		l.mu.Unlock()
		for _, k := range t.tokens {
			k.done()
		}
	}
}

// stopWaiting ends the wait for a service to do its work again.
func (l *lane) stopWaiting() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.serving && l.cancel != nil {
		l.cancel(errSuperseded)
	}
}

func (l *lane) setServing(is bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serving = is
}

// holdBack waits for a while, unless there is more to do before.
func (l *lane) holdBack(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	return l.supersedable(ctx, func(ctx context.Context) error {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// supersedable runs fn with a context that the next edit cancels.
func (l *lane) supersedable(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.mu.Lock()
	if l.pending != nil {
		l.mu.Unlock()
		return errSuperseded
	}
	l.cancel = cancel
	l.mu.Unlock()
	err := fn(ctx)
	l.mu.Lock()
	l.cancel = nil
	l.mu.Unlock()
	if errors.Is(context.Cause(ctx), errSuperseded) && err != nil {
		return errSuperseded
	}
	return err
}
