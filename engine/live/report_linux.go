package live

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/watch"
	"devstack/engine/watch/apply"
)

// mostPaths is how many changed paths a report names.
const mostPaths = 3

func (s *Session) report(r api.WatchReport) {
	r.Time = time.Now()
	s.o.Report(api.Message{Watch: &r})
}

// notice reports a remark, with what to do about it if that is known.
func (s *Session) notice(service, text, hint string) {
	if hint != "" {
		text += "\nhint: " + hint
	}
	s.report(api.WatchReport{Kind: api.WatchNotice, Service: service, Text: text})
}

func (s *Session) reportTask(kind, action string, t *task, text string, err error) {
	r := api.WatchReport{Kind: kind, Service: t.Service, Action: action, Cause: t.cause, Text: text}
	var paths []string
	for _, c := range t.Causes {
		paths = append(paths, c.Paths...)
	}
	r.Paths, r.More = s.shorten(paths)
	if len(paths) == 0 && r.Cause == "" {
		r.Cause = "files changed while nobody watched"
	}
	if kind == api.WatchDone || kind == api.WatchFailed {
		r.Took = compose.Duration(time.Since(t.at))
	}
	if err != nil {
		r.Error = asError(err)
	}
	s.report(r)
}

// shorten names the first few paths as the project sees them.
func (s *Session) shorten(paths []string) (first []string, more int) {
	slices.Sort(paths)
	paths = slices.Compact(paths)
	for _, p := range paths[:min(len(paths), mostPaths)] {
		first = append(first, watch.Printable(s.relative(p)))
	}
	return first, len(paths) - len(first)
}

// relative is a path as seen from the project's directory, if it is in it.
func (s *Session) relative(path string) string {
	if rel, err := filepath.Rel(s.declared().WorkingDir, path); err == nil && !strings.HasPrefix(rel, "../") {
		return rel
	}
	return path
}

// summary says what is watched.
func (s *Session) summary() string {
	rules := s.current().All()
	services := map[string]bool{}
	for _, r := range rules {
		services[r.Service] = true
	}
	if len(rules) == 0 {
		return "watching the project's own files; no service has a watch rule"
	}
	return fmt.Sprintf("watching %s of %s", count(len(rules), "rule"), count(len(services), "service"))
}

func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// asError is err as it travels.
func asError(err error) *api.Error {
	var e *api.Error
	if errors.As(err, &e) {
		return e
	}
	if err == nil {
		return &api.Error{}
	}
	first, rest, _ := strings.Cut(err.Error(), "\n")
	e = &api.Error{Message: first}
	if rest != "" {
		e.Detail = strings.Split(rest, "\n")
	}
	var fault *apply.Error
	if errors.As(err, &fault) {
		e.Hint = fault.Hint
	}
	return e
}

// serialized lets one call through at a time.
func serialized(fn func(api.Message)) func(api.Message) {
	var mu sync.Mutex
	return func(m api.Message) {
		mu.Lock()
		defer mu.Unlock()
		fn(m)
	}
}
