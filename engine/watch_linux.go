package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"devstack/engine/api"
	"devstack/engine/live"
)

// watches are the projects that are being watched.
type watches struct {
	mu sync.Mutex
	of map[string]*watching
}

// watching is one project's watch. It ends when it is told to, or, unless it is
// detached, when its last follower goes.
type watching struct {
	req   api.WatchRequest
	stop  context.CancelFunc
	ready chan struct{} // closed once it watches, or could not
	ended chan struct{} // closed after it

	mu        sync.Mutex
	rules     int
	state     *api.WatchReport // that it is ready, for who joins later
	err       error            // why it ended
	detached  bool
	ending    bool // it was told to end: who comes now gets a new one
	followers map[*func(api.Message)]bool
}

// Watch watches a project, ends a watch, or only says what would be watched.
func (e *Engine) Watch(ctx context.Context, req api.WatchRequest, emit func(api.Message)) (api.WatchResult, error) {
	switch {
	case req.Stop:
		return api.WatchResult{Stopped: e.unwatch(req.Name)}, nil
	case req.DryRun || req.Explain != "":
		return e.explainWatch(ctx, req)
	}
	w, state, err := e.startWatch(req, &emit)
	defer e.leave(w, &emit)
	if err != nil {
		return api.WatchResult{}, err
	}
	if state != nil {
		emit(api.Message{Watch: state})
	}
	select {
	case <-w.ready:
	case <-ctx.Done():
		return api.WatchResult{}, nil
	}
	if w.failure() != nil {
		<-w.ended
		return api.WatchResult{}, w.failure()
	}
	if req.Detach {
		w.mu.Lock()
		defer w.mu.Unlock()
		return api.WatchResult{Rules: w.rules}, nil
	}
	select {
	case <-ctx.Done():
		return api.WatchResult{}, nil
	case <-w.ended:
		return api.WatchResult{}, w.failure()
	}
}

func (w *watching) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *watching) isEnding() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ending
}

// startWatch is the project's watch, begun if there is none, with one more
// follower, and its state if it was ready before.
func (e *Engine) startWatch(req api.WatchRequest, follower *func(api.Message)) (*watching, *api.WatchReport, error) {
	e.watches.mu.Lock()
	defer e.watches.mu.Unlock()
	w := e.watches.of[req.Name]
	for w != nil && w.isEnding() {
		e.watches.mu.Unlock()
		<-w.ended
		e.watches.mu.Lock()
		w = e.watches.of[req.Name]
	}
	if w == nil {
		ctx, stop := context.WithCancel(context.Background())
		w = &watching{
			req: req, stop: stop, ready: make(chan struct{}), ended: make(chan struct{}),
			followers: map[*func(api.Message)]bool{},
		}
		if e.watches.of == nil {
			e.watches.of = map[string]*watching{}
		}
		e.watches.of[req.Name] = w
		go e.runWatch(ctx, w)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if follower != nil {
		w.followers[follower] = true
	}
	if req.Detach && !w.detached {
		err := e.recordWatch(w.req)
		w.detached = err == nil || follower == nil // resumed: there is a record
		return w, w.state, err
	}
	return w, w.state, nil
}

func (e *Engine) runWatch(ctx context.Context, w *watching) {
	once := sync.OnceFunc(func() { close(w.ready) })
	err := live.Run(ctx, live.Options{
		Request: w.req, Engine: liveEngine{e}, Dir: e.watchDir(w.req.Name),
		Report: func(m api.Message) { e.watchMessage(w, m) },
	}, func(rules int) {
		w.mu.Lock()
		w.rules = rules
		w.mu.Unlock()
		once()
	})
	e.watches.mu.Lock()
	delete(e.watches.of, w.req.Name)
	e.watches.mu.Unlock()
	w.mu.Lock()
	w.err = err
	w.mu.Unlock()
	once()
	close(w.ended)
}

// leave ends what a follower began, unless others follow or it is detached.
func (e *Engine) leave(w *watching, follower *func(api.Message)) {
	e.watches.mu.Lock() // nobody joins meanwhile
	w.mu.Lock()
	delete(w.followers, follower)
	last := len(w.followers) == 0 && !w.detached
	w.ending = w.ending || last
	w.mu.Unlock()
	e.watches.mu.Unlock()
	if last {
		w.stop()
		<-w.ended
	}
}

// unwatch ends a project's watch for good.
func (e *Engine) unwatch(name string) bool {
	e.watches.mu.Lock()
	w := e.watches.of[name]
	if w != nil { // nobody joins it any more
		w.mu.Lock()
		w.ending = true
		w.mu.Unlock()
	}
	e.watches.mu.Unlock()
	e.warn(ignoreAbsent(os.Remove(e.watchRecord(name))))
	if w == nil {
		return false
	}
	w.stop()
	<-w.ended
	return true
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// watched reports whether a detached watch acts on a service.
func (e *Engine) watched(project, service string) bool {
	e.watches.mu.Lock()
	w := e.watches.of[project]
	e.watches.mu.Unlock()
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.detached && (len(w.req.Services) == 0 || slices.Contains(w.req.Services, service))
}

// watchMessage passes a message on to the followers, and reports as events to
// everybody.
func (e *Engine) watchMessage(w *watching, m api.Message) {
	if m.Watch != nil {
		e.m.Events.Publish(watchEvent(w.req.Name, m.Watch))
	}
	w.mu.Lock()
	if m.Watch != nil && m.Watch.Kind == api.WatchReady {
		w.state = m.Watch
	}
	followers := slices.Collect(maps.Keys(w.followers))
	w.mu.Unlock()
	for _, tell := range followers {
		(*tell)(m)
	}
}

func watchEvent(project string, r *api.WatchReport) api.Event {
	ev := api.Event{Time: r.Time, Type: "watch", Action: r.Kind, Project: project, Service: r.Service, Attributes: map[string]string{}}
	set := func(key, value string) {
		if value != "" {
			ev.Attributes[key] = value
		}
	}
	set("action", r.Action)
	set("cause", r.Cause)
	set("text", r.Text)
	for i, p := range r.Paths {
		set(fmt.Sprintf("path%d", i+1), p)
	}
	if r.More > 0 {
		set("more", fmt.Sprint(r.More))
	}
	if r.Took > 0 {
		set("took", time.Duration(r.Took).Round(time.Millisecond).String())
	}
	if r.Error != nil {
		set("error", r.Error.Error())
	}
	return ev
}

// explainWatch says what would be watched, or what a path would trigger.
func (e *Engine) explainWatch(ctx context.Context, req api.WatchRequest) (api.WatchResult, error) {
	p, from, err := live.Load(ctx, req)
	if err != nil {
		return api.WatchResult{}, err
	}
	rules, findings := live.Compile(p, from, req, liveEngine{e}.BaseImage)
	var b bytes.Buffer
	for _, f := range findings {
		fmt.Fprintf(&b, "%s\n", f.Message)
	}
	if req.Explain != "" {
		path := filepath.Clean(req.Explain)
		if !filepath.IsAbs(path) {
			path = filepath.Join(req.Load.Cwd, path)
		}
		return api.WatchResult{Text: b.String() + rules.Explain(path).String()}, nil
	}
	for _, r := range rules.All() {
		fmt.Fprintf(&b, "%s  %s", r.Name(), r.Path)
		if r.Syncs() {
			fmt.Fprintf(&b, " -> %s", r.Target)
		}
		b.WriteString("\n")
	}
	return api.WatchResult{Text: b.String(), Rules: len(rules.All())}, nil
}

// watchDir is where a project's watch keeps what outlives it.
func (e *Engine) watchDir(project string) string {
	return filepath.Join(e.cfg.Roots.Run, "projects", project, "watch")
}

func (e *Engine) watchRecord(project string) string {
	return filepath.Join(e.watchDir(project), "detached")
}

// recordWatch makes a detached watch survive the engine. The record has the
// environment of who asked for it, as /proc has for its owner.
func (e *Engine) recordWatch(req api.WatchRequest) error {
	req.Since = time.Time{} // it is watched from now on
	data, err := json.Marshal(req)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(e.watchDir(req.Name), 0o700); err != nil {
		return err
	}
	path := e.watchRecord(req.Name)
	if err := os.WriteFile(path+".tmp", data, 0o600); err != nil {
		return fmt.Errorf("record watch: %w", err)
	}
	return os.Rename(path+".tmp", path)
}

// resumeWatches goes on with the detached watches of an engine before this one.
func (e *Engine) resumeWatches() {
	for _, p := range e.all() {
		data, err := os.ReadFile(e.watchRecord(p.Name))
		if err != nil {
			continue
		}
		var req api.WatchRequest
		if err := json.Unmarshal(data, &req); err != nil {
			e.warn(errors.Join(fmt.Errorf("resume watch of project %s: %w", p.Name, err), os.Remove(e.watchRecord(p.Name))))
			continue
		}
		if _, _, err := e.startWatch(req, nil); err != nil {
			e.warn(err)
		}
	}
}

// endWatches ends all watches as the engine ends; detached ones go on in the next.
func (e *Engine) endWatches() {
	e.watches.mu.Lock()
	all := slices.Collect(maps.Values(e.watches.of))
	e.watches.mu.Unlock()
	for _, w := range all {
		w.stop()
	}
	for _, w := range all {
		<-w.ended
	}
}
