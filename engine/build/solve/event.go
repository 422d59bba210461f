package solve

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"devstack/engine/build/dockerfile"
)

// States of an Event.
const (
	Started   = "started"
	Log       = "log"    // Line was printed
	Cached    = "cached" // done by an earlier build
	Succeeded = "done"
	Failed    = "failed"
)

// Event is progress of one step of a build.
type Event struct {
	Step  int    // number of the step in this build, from 1, in the order they begin
	Stage string // "" where the Dockerfile has only one without a name
	Name  string // "RUN make"
	// Index of Of is the place of the step in its stage, from 1.
	Index, Of int
	State     string
	Line      []byte   // of Log, without its end
	Excerpt   []string // of a warning: the lines of the Dockerfile that it is about
	Took      time.Duration
}

// Error is a step that failed: where it is in the Dockerfile, and what it
// printed.
type Error struct {
	Stage, Step string
	Log         []byte // the whole of it; of very much the end
	Err         error  // *dockerfile.Error with file and lines
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// logged is a failure with what was printed before it.
type logged struct {
	err error
	log []byte
}

func (l *logged) Error() string { return l.err.Error() }
func (l *logged) Unwrap() error { return l.err }

// maxLog bounds what is kept of a step's output for its Error, in bytes.
const maxLog = 4 << 20

// tail keeps the end of what is written to it.
type tail struct {
	buf []byte
	cut bool
}

func (t *tail) line(b []byte) {
	t.buf = append(append(t.buf, b...), '\n')
	if len(t.buf) > 2*maxLog {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-maxLog:]...)
		t.cut = true
	}
}

func (t *tail) bytes() []byte {
	if !t.cut {
		return t.buf
	}
	_, whole, _ := bytes.Cut(t.buf, []byte("\n"))
	return append([]byte("[... the beginning is left out ...]\n"), whole...)
}

// stageName is what progress calls a stage.
func stageName(f *dockerfile.File, s *dockerfile.Stage) string {
	if len(f.Stages) == 1 && !s.Named {
		return ""
	}
	return s.Name
}

// Title is a step as a line: "[web build 2/5] RUN make", of a build called web.
func (e Event) Title(build string) string {
	var place []string
	for _, s := range []string{build, e.Stage} {
		if s != "" {
			place = append(place, s)
		}
	}
	if e.Index > 0 {
		place = append(place, fmt.Sprintf("%d/%d", e.Index, e.Of))
	}
	if len(place) == 0 {
		return e.Name
	}
	return "[" + strings.Join(place, " ") + "] " + e.Name
}
