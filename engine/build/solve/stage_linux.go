package solve

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"devstack/engine/build/dockerfile"
	"devstack/engine/build/step"
	"devstack/engine/image"
	"devstack/engine/image/commit"
)

// stage is one stage being built.
type stage struct {
	*build
	stage *dockerfile.Stage
	plan  dockerfile.Plan

	res    Result // so far
	done   chan struct{}
	result *Result
	did    []Done // steps, in order
}

// run builds the stage from its base.
func (r *stage) run(ctx context.Context) (*Result, error) {
	base, err := r.base(ctx)
	if err != nil {
		return nil, err
	}
	r.res = *base
	r.res.Layers = slices.Clone(base.Layers)
	if r.plan, err = r.req.File.Evaluate(r.stage, base.File); err != nil {
		return nil, err
	}
	history := r.plan.State.Image.History
	for i := range r.plan.Steps {
		st := &r.plan.Steps[i]
		rec, err := r.step(ctx, i, st)
		if err != nil {
			return nil, err
		}
		if rec.Empty {
			history[st.History].EmptyLayer = true
			continue
		}
		r.res.Layers = append(r.res.Layers, rec.Layer)
		r.res.chain = chain(r.res.chain, rec.Layer.DiffID)
	}
	for i := r.res.NewHistory; i < len(history); i++ {
		if history[i].Created == nil {
			t := r.res.Epoch
			history[i].Created = &t
		}
	}
	r.res.File = r.plan.State
	out := r.res
	return &out, nil
}

// base is what FROM names, ready to be built on.
func (r *stage) base(ctx context.Context) (*Result, error) {
	from := r.stage.Base
	switch from.Kind {
	case dockerfile.Built:
		return r.await(ctx, from.Stage)
	case dockerfile.Scratch:
		return &Result{File: dockerfile.StateOf(image.File{Platform: r.req.Platform}), Epoch: r.epoch(time.Time{})}, nil
	}
	in, err := r.inputFor(ctx, r, from)
	if err != nil {
		return nil, r.place(err, r.stage.Lines)
	}
	if in.result == nil {
		// A context as a base: its files are the first layer.
		return r.fromContext(ctx, in)
	}
	return in.result, nil
}

// epoch is the latest time in layers of a stage whose base is of base.
func (b *build) epoch(base time.Time) time.Time {
	if b.req.Epoch != nil {
		return b.req.Epoch.UTC().Truncate(time.Second)
	}
	t := time.Unix(0, 0)
	for _, other := range []time.Time{base, b.req.CommitTime} {
		if other.After(t) {
			t = other
		}
	}
	return t.UTC().Truncate(time.Second)
}

func (r *stage) place(err error, at dockerfile.Lines) error {
	var e *dockerfile.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return r.req.File.Fault(err, at)
}

// lower are the directories of what was built so far, the topmost first.
func (res *Result) lower(empty string) []string {
	var dirs []string
	seen := map[string]bool{}
	add := func(ls []image.Layer) {
		for i := len(ls) - 1; i >= 0; i-- {
			if !seen[ls[i].Dir] { // overlayfs takes a directory once; the upper one decides
				seen[ls[i].Dir] = true
				dirs = append(dirs, ls[i].Dir)
			}
		}
	}
	add(res.Layers)
	add(res.Base.Layers)
	if res.Base.Root != "" {
		dirs = append(dirs, res.Base.Root)
	}
	if len(dirs) == 0 {
		dirs = append(dirs, empty)
	}
	return dirs
}

// job is a step made ready: its keys, and the work if no record has them.
type job struct {
	keys []string
	// more computes a further key, which costs more; may be nil.
	more func(ctx context.Context) (string, error)
	// detached work begins with nothing below it.
	detached bool
	// work writes to the root; it may print lines.
	work func(ctx context.Context, root step.Root, dir string, print func([]byte)) error
}

// step carries out one step, or finds what it came to.
func (r *stage) step(ctx context.Context, index int, st *dockerfile.Step) (Record, error) {
	ev := r.event(index, len(r.plan.Steps), st.Name)
	began := time.Now()
	d, cached, err := r.resolveStep(ctx, st, ev)
	rec := d.Record
	ev.Took = time.Since(began)
	switch {
	case err != nil && ctx.Err() != nil:
		return rec, context.Cause(ctx)
	case err != nil:
		ev.State = Failed
		r.tell(ev)
		return rec, r.failure(st, ev, err)
	case cached:
		ev.State = Cached
	default:
		ev.State = Succeeded
	}
	r.did = append(r.did, d)
	r.tell(ev)
	return rec, nil
}

// failure says which step failed, where, and what it had printed.
func (r *stage) failure(st *dockerfile.Step, ev Event, err error) error {
	e := &Error{Stage: ev.Stage, Step: st.Name}
	var l *logged
	if errors.As(err, &l) {
		e.Log, err = l.log, l.err
	}
	e.Err = r.place(fmt.Errorf("%s: %w", st.Name, err), st.Lines)
	return e
}

func (r *stage) resolveStep(ctx context.Context, st *dockerfile.Step, ev Event) (Done, bool, error) {
	j, err := r.job(ctx, st)
	if err != nil {
		return Done{}, false, err
	}
	fresh := r.req.NoCache || slices.Contains(r.req.NoCacheIn, r.stage.Name)
	if !fresh {
		for _, k := range j.keys {
			if rec, ok := r.known(ctx, k); ok {
				return Done{j.keys, rec}, true, nil
			}
		}
	}
	if j.more != nil {
		k, err := j.more(ctx)
		if err != nil {
			return Done{}, false, err
		}
		j.keys = append(j.keys, k)
		if !fresh {
			if rec, ok := r.known(ctx, k); ok {
				for _, other := range j.keys[:len(j.keys)-1] { // found faster next time
					r.record(rec, other)
				}
				return Done{j.keys, rec}, true, nil
			}
		}
	}
	ev.State = Started
	r.tell(ev)
	r.mu.Lock()
	r.ran = true
	r.mu.Unlock()
	watch := func(line []byte) {
		log := ev
		log.State, log.Line = Log, line
		r.tell(log)
	}
	rec, err := r.s.flights.do(ctx, j.keys[len(j.keys)-1], &r.held, watch, func(ctx context.Context, print func([]byte)) (Record, error) {
		return r.perform(ctx, j, st.Name, print)
	})
	return Done{j.keys, rec}, false, err
}

// known is what a step came to before, here or where the build imports from.
func (r *stage) known(ctx context.Context, key string) (Record, bool) {
	if rec, ok := r.s.Cache.find(key); ok {
		return rec, true
	}
	if r.req.Import == nil {
		return Record{}, false
	}
	rec, ok := r.req.Import(ctx, key)
	if ok {
		rec.Project = r.req.Project
		r.record(rec, key)
	}
	return rec, ok
}

func (b *build) record(rec Record, key string) {
	rec.Key = key
	b.s.Cache.put(rec)
}

// perform does the work of a step over the layers below it and commits what
// it wrote.
func (r *stage) perform(ctx context.Context, j job, name string, print func([]byte)) (_ Record, err error) {
	if err := r.s.running.Acquire(ctx, 1); err != nil {
		return Record{}, context.Cause(ctx)
	}
	defer r.s.running.Release(1)
	dir := filepath.Join(r.s.work(), rand.Text())
	if err := os.Mkdir(dir, 0o700); err != nil {
		return Record{}, fmt.Errorf("make directory of step: %w", err)
	}
	defer func() { err = errors.Join(err, step.Remove(dir)) }()
	root := step.Root{Lower: r.res.lower(r.s.empty())}
	if j.detached {
		root.Lower = []string{r.s.empty()}
	}
	if root.Upper, root.Work, err = step.Scratch(dir); err != nil {
		return Record{}, err
	}
	if err := j.work(ctx, root, dir, print); err != nil {
		return Record{}, err
	}
	l, err := commit.Layer(ctx, r.s.Images, root.Upper, commit.Options{
		Epoch: r.res.Epoch, Compression: r.req.Compression, Lower: root.Lower, Devices: r.req.AllowAll,
	})
	if err != nil {
		return Record{}, err
	}
	rec := Record{Step: name, Project: r.req.Project, Layer: l, Empty: commit.IsEmpty(l)}
	for _, k := range j.keys {
		r.record(rec, k)
	}
	return rec, nil
}

func (r *stage) event(index, of int, name string) Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps++
	return Event{Step: r.steps, Stage: stageName(r.req.File, r.stage), Name: name, Index: index + 1, Of: of}
}

func (b *build) tell(e Event) {
	if b.emit == nil {
		return
	}
	b.emitting.Lock()
	defer b.emitting.Unlock()
	b.emit(e)
}

// job makes a step ready.
func (r *stage) job(ctx context.Context, st *dockerfile.Step) (job, error) {
	switch {
	case st.Run != nil:
		return r.runJob(ctx, st.Run)
	case st.Copy != nil:
		return r.copyJob(ctx, st.Copy)
	}
	return r.workdirJob(st.Workdir), nil
}

// keyFor begins the key of a step of this stage, with what every step depends
// on.
func (r *stage) keyFor(kind string) key { return r.keyOn(r.res.chain, kind) }

func (r *stage) keyOn(below, kind string) key {
	k := newKey(kind)
	k.add(below, r.res.Epoch.Format(time.RFC3339), image.FormatPlatform(r.req.Platform), string(r.req.Compression))
	k.flag(r.req.AllowAll)
	return k
}

func (r *stage) workdirJob(w *dockerfile.Workdir) job {
	k := r.keyFor("workdir")
	k.add(w.Path, w.User)
	return job{keys: []string{k.sum()}, work: func(_ context.Context, root step.Root, _ string, _ func([]byte)) error {
		return inRoot(root, func(dir *os.File) error { return step.MakeDir(dir, w.Path, w.User) })
	}}
}

// inRoot calls do with the merged root, writable.
func inRoot(root step.Root, do func(*os.File) error) error {
	mount, err := root.Mount()
	if err != nil {
		return err
	}
	defer mount.Close()
	dir, err := step.Listable(mount)
	if err != nil {
		return err
	}
	defer dir.Close()
	return do(dir)
}

// platformOf is the platform that FROM --platform asks for, or the build's.
func (r *stage) platform() (ocispec.Platform, error) {
	if r.stage.Platform == "" {
		return r.req.Platform, nil
	}
	return image.ParsePlatform(r.stage.Platform)
}
