package load

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"devstack/compose"
)

// Severity tells a fault from a remark.
type Severity uint8

// The severities.
const (
	SeverityError Severity = iota
	SeverityWarning
)

// String names the severity as it is printed.
func (s Severity) String() string {
	if s == SeverityWarning {
		return "warning"
	}
	return "error"
}

// Diagnostic is one finding about a project file.
type Diagnostic struct {
	Pos      compose.Pos
	Severity Severity
	Message  string
	Hint     string // what to do next; may be empty
	Line     string // the source line at Pos, without its end
	Width    int    // how many characters of Line the finding is about
}

// String is the finding on one line.
func (d Diagnostic) String() string {
	if at := d.Pos.String(); at != "" {
		return at + ": " + d.Severity.String() + ": " + d.Message
	}
	return d.Severity.String() + ": " + d.Message
}

// Error is all the faults of one phase.
type Error struct{ Diagnostics []Diagnostic }

// Error lists the faults, one on a line.
func (e *Error) Error() string {
	lines := make([]string, len(e.Diagnostics))
	for i, d := range e.Diagnostics {
		lines[i] = d.String()
		if d.Severity == SeverityError {
			lines[i] = strings.Replace(lines[i], "error: ", "", 1)
		}
	}
	return strings.Join(lines, "\n")
}

// Render prints findings as compilers do: the place and the message, the
// line, a caret under the value, and a hint.
func Render(w io.Writer, ds []Diagnostic, color bool) {
	paint := func(code, s string) string {
		if !color {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	for _, d := range ds {
		tint := "1;31"
		if d.Severity == SeverityWarning {
			tint = "1;33"
		}
		var b strings.Builder
		if at := d.Pos.String(); at != "" {
			b.WriteString(paint("1", at+":") + " ")
		}
		b.WriteString(paint(tint, d.Severity.String()+":") + " " + d.Message + "\n")
		if d.Line != "" {
			number := fmt.Sprint(d.Pos.Line)
			pad := strings.Repeat(" ", len(number))
			line, indent, width := window(d.Line, d.Pos.Col, d.Width)
			fmt.Fprintf(&b, " %s | %s\n %s | %s%s\n", number, line, pad, indent, paint(tint, strings.Repeat("^", width)))
		}
		if d.Hint != "" {
			for i, line := range strings.Split(d.Hint, "\n") {
				label := "hint: "
				if i > 0 {
					label = "      "
				}
				b.WriteString("   " + paint("36", label) + line + "\n")
			}
		}
		io.WriteString(w, b.String()) //nolint:errcheck // a broken stderr has nowhere to be reported
	}
}

// window cuts a line to what fits around the caret, and gives the white space
// that puts the caret under column col (tabs stay tabs).
func window(line string, col, width int) (shown, indent string, carets int) {
	const longest = 160
	runes := []rune(strings.TrimRight(line, " \t\r"))
	at := min(max(col-1, 0), len(runes))
	if len(runes) > longest {
		from := min(max(at-longest/2, 0), len(runes)-longest)
		runes, at = runes[from:from+longest], at-from
	}
	carets = max(1, min(width, len(runes)-at))
	var b strings.Builder
	for i, r := range runes {
		if r != '\t' && (r < ' ' || r == 0x7f || r == 0x9b || r == utf8.RuneError) {
			runes[i], r = '?', '?' // never send a file's control characters to a terminal
		}
		if i < at {
			if r == '\t' {
				b.WriteByte('\t')
			} else {
				b.WriteByte(' ')
			}
		}
	}
	return string(runes), b.String(), carets
}

// report collects findings.
type report struct {
	faults   []Diagnostic
	warnings []Diagnostic
	unshown  int // faults beyond maxFaults
}

// maxFaults is how many faults are kept: nobody reads more at once.
const maxFaults = 200

func (r *report) add(d Diagnostic) {
	if d.Severity == SeverityWarning {
		r.warnings = append(r.warnings, d)
		return
	}
	if len(r.faults) == maxFaults {
		r.unshown++
		return
	}
	r.faults = append(r.faults, d)
}

// err gives the faults so far, in the order of their places.
func (r *report) err() error {
	if len(r.faults) == 0 {
		return nil
	}
	ds := tidy(r.faults)
	if r.unshown > 0 {
		ds = append(ds, Diagnostic{Message: fmt.Sprintf("%d more faults are not shown", r.unshown)})
	}
	return &Error{Diagnostics: ds}
}

// tidy sorts findings by place and drops repetitions.
// Files stay in the order in which they first come up.
func tidy(found []Diagnostic) []Diagnostic {
	ds := slices.Clone(found)
	rank := map[string]int{}
	for _, d := range ds {
		if _, ok := rank[d.Pos.File]; !ok {
			rank[d.Pos.File] = len(rank)
		}
	}
	slices.SortStableFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(rank[a.Pos.File]-rank[b.Pos.File], a.Pos.Line-b.Pos.Line, a.Pos.Col-b.Pos.Col)
	})
	return slices.CompactFunc(ds, func(a, b Diagnostic) bool { return a.Pos == b.Pos && a.Message == b.Message })
}
