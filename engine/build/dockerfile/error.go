package dockerfile

import (
	"errors"
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// Lines are lines of a file, from 1; zero is unknown.
type Lines struct{ First, Last int }

// Error is a fault of a Dockerfile.
type Error struct {
	File  string
	Lines Lines
	Err   error

	source []string
}

func (e *Error) Error() string {
	if e.Lines.First == 0 {
		return e.File + ": " + e.Err.Error()
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Lines.First, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Excerpt is the place in the file, with the lines at fault marked; "" where
// they are not known.
func (e *Error) Excerpt() string { return excerpt(e.File, e.source, e.Lines) }

// Errors are several faults of one file, in its order.
type Errors []*Error

func (es Errors) Error() string {
	var lines []string
	for _, e := range es {
		lines = append(lines, e.Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find the first.
func (es Errors) Unwrap() []error {
	var out []error
	for _, e := range es {
		out = append(out, e)
	}
	return out
}

// Warning is something that BuildKit's linter found.
type Warning struct {
	Rule    string // "StageNameCasing"
	URL     string // of the rule's explanation
	File    string
	Lines   Lines
	Message string

	source []string
}

func (w Warning) String() string {
	return fmt.Sprintf("%s:%d: %s: %s", w.File, w.Lines.First, w.Rule, w.Message)
}

// Excerpt is like Error's.
func (w Warning) Excerpt() string { return excerpt(w.File, w.source, w.Lines) }

// Marked are the lines that it is about, numbered.
func (w Warning) Marked() []string {
	var out []string
	for n := max(1, w.Lines.First); n <= min(w.Lines.Last, len(w.source)); n++ {
		out = append(out, fmt.Sprintf("%4d | %s", n, w.source[n-1]))
	}
	return out
}

// around is how many lines an excerpt shows before and after those meant.
const around = 2

func excerpt(name string, source []string, at Lines) string {
	if at.First < 1 || at.First > len(source) {
		return ""
	}
	const rule = "--------------------\n"
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d\n%s", name, at.First, rule)
	last := min(max(at.Last, at.First), len(source))
	for n := max(1, at.First-around); n <= min(len(source), last+around); n++ {
		mark := "   "
		if n >= at.First && n <= last {
			mark = ">>>"
		}
		b.WriteString(strings.TrimRight(fmt.Sprintf("%4d | %s %s", n, mark, source[n-1]), " ") + "\n")
	}
	b.WriteString(rule)
	return b.String()
}

func linesOf(ranges []parser.Range) Lines {
	var l Lines
	for _, r := range ranges {
		if l.First == 0 || r.Start.Line < l.First {
			l.First = r.Start.Line
		}
		l.Last = max(l.Last, r.End.Line, r.Start.Line)
	}
	return l
}

// fault places err, unless it has a place already.
func (f *File) fault(err error, at []parser.Range) error {
	if err == nil {
		return nil
	}
	var placed *Error
	var several Errors
	if errors.As(err, &several) || errors.As(err, &placed) {
		return err
	}
	var located *parser.LocationError
	if errors.As(err, &located) && len(located.Locations) > 0 && len(located.Locations[0]) > 0 {
		if linesOf(located.Locations[0]).First > 0 {
			at = located.Locations[0]
		}
		err = located.Unwrap()
	}
	return &Error{File: f.Name, Lines: linesOf(at), Err: legible(err), source: f.source}
}

// legible rewords what BuildKit's shell says of "${X": it takes the end of the
// word for a modifier.
func legible(err error) error {
	if before, _, ok := strings.Cut(err.Error(), "unsupported modifier (\uFFFD)"); ok {
		return errors.New(before + "the brace is not closed")
	}
	return err
}

// Fault is err at lines of the file.
func (f *File) Fault(err error, at Lines) error {
	return &Error{File: f.Name, Lines: at, Err: err, source: f.source}
}
