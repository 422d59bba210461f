package notify

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// run is the watcher's goroutine.
//
//	events -> dirty -> (quiet) absorb -> before -> (nothing more) prepare -> ready -> out
func (w *Watcher) run(ctx context.Context) {
	defer close(w.done)
	defer close(w.out)
	timer := time.NewTimer(0)
	if len(w.before) == 0 {
		timer.Stop()
	}
	poll := time.NewTimer(w.pollPause())
	polling := w.limit // poll is running
	if !polling {
		poll.Stop()
	}
	for {
		events, errs := w.channels()
		out, next := w.out, w.ready
		if next == nil {
			out, next = nil, &prepared{}
		}
		select {
		case <-ctx.Done():
			w.end()
			return
		case e, ok := <-events:
			if ok && w.note(e) {
				w.drain()
				timer.Reset(w.burst.rest(time.Now()))
			}
		case err := <-errs:
			if w.fail(err); w.all {
				timer.Reset(longPause)
			}
		case f := <-w.ask:
			if f(); w.all {
				timer.Reset(longPause)
			}
		case out <- next.batch:
			w.ready = nil
		case <-poll.C:
			polling = false
			w.poll()
			timer.Reset(0)
		case <-timer.C:
			if again := w.settle(); again > 0 {
				timer.Reset(again)
			}
			if w.limit && !polling { // not put off by every event
				polling = true
				poll.Reset(w.pollPause())
			}
		case <-w.idle():
			w.hashSome()
		}
	}
}

// channels are those of the kernel's watcher; nil ones if there is none.
func (w *Watcher) channels() (chan fsnotify.Event, chan error) {
	if w.fs == nil {
		return nil, nil
	}
	return w.fs.Events, w.fs.Errors
}

// drain notes the events that are there already.
func (w *Watcher) drain() (any bool) {
	events, errs := w.channels()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return any
			}
			any = w.note(e) || any
		case err := <-errs:
			w.fail(err)
			any = true
		default:
			return any
		}
	}
}

// note marks what an event names, and says whether it matters.
func (w *Watcher) note(e fsnotify.Event) bool {
	if e.Name == "" {
		return false
	}
	now := time.Now()
	matters := false
	dir, name := filepath.Split(e.Name)
	dir = filepath.Clean(dir)
	structural := e.Has(fsnotify.Create) || e.Has(fsnotify.Rename) || e.Has(fsnotify.Remove)
	for _, r := range w.anchors[anchor{dir, name}] {
		w.miss(r, now, structural)
		matters = true
	}
	for _, r := range w.roots {
		if structural {
			for _, a := range r.anchors {
				if a.dir == e.Name { // the directory itself is gone
					w.miss(r, now, true)
					matters = true
				}
			}
		}
		rel, ok := r.rel(e.Name)
		switch {
		case !ok || r.skips(rel, false) && r.skips(rel, true) && rel != "":
			continue
		case rel == "" && structural:
			w.miss(r, now, true)
		}
		s, known := w.dirty[e.Name]
		if !known {
			s.since = now
			w.burst.paths++
		}
		s.last = now
		s.deep = s.deep || structural
		w.dirty[e.Name] = s
		matters = true
	}
	if matters {
		w.burst.note(now)
	}
	return matters
}

// miss has a root located again; deep: even one in the same place may be
// another.
func (w *Watcher) miss(r *root, now time.Time, deep bool) {
	s, ok := w.lost[r]
	if !ok {
		s.since = now
	}
	s.deep = s.deep || deep
	w.lost[r] = s
}

// settle goes on with a burst that has paused, and says when to look again; 0
// when there is nothing more to look at.
func (w *Watcher) settle() time.Duration {
	now := time.Now()
	if w.drain(); !w.burst.first.IsZero() {
		if rest := w.burst.rest(now); rest > 0 {
			return rest
		}
	}
	wait, written := w.absorb(now)
	if wait > 0 {
		return wait
	}
	if w.drain() {
		return max(w.burst.rest(time.Now()), time.Microsecond)
	}
	if w.grew {
		// What is new is likely not complete.
		w.grew = false
		w.burst.paths += 9
		w.burst.last = time.Now()
		return max(w.burst.rest(w.burst.last), time.Microsecond)
	}
	if w.gitBusy(now) {
		return gitPause
	}
	again := w.reread(now)
	w.prepare()
	if written > 0 && (again == 0 || written < again) {
		again = written
	}
	return again
}

// gitBusy says whether git is at work on a root that has changes.
func (w *Watcher) gitBusy(now time.Time) bool {
	if len(w.before) == 0 {
		return false
	}
	seen := map[string]bool{"": true}
	for at := range w.before {
		lock := at.root.gitLock
		if seen[lock] {
			continue
		}
		seen[lock] = true
		if info, err := os.Lstat(lock); err == nil && w.burst.heedsGit(now.Sub(info.ModTime()), now) {
			return true
		}
	}
	return false
}

// end closes what is open. What was not reported is for the next time.
func (w *Watcher) end() {
	if w.fs != nil {
		_ = w.fs.Close()
	}
	w.state.save(w.roots, w.unreported())
}
