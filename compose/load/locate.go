package load

import (
	"devstack/compose"
)

// faultAt reports a fault of the value at a path of the project.
func (ld *loader) faultAt(p *compose.Project, message, hint string, keys ...string) {
	ld.findingAt(p, SeverityError, message, hint, keys...)
}

// outside reports a fault that lies outside the project files or shows only
// when everything runs at once; it is a warning for verbs that start nothing.
func (ld *loader) outside(p *compose.Project, message, hint string, keys ...string) {
	sev := SeverityError
	if ld.opts.Lenient {
		sev = SeverityWarning
	}
	ld.findingAt(p, sev, message, hint, keys...)
}

// atStart reports a fault that shows only when containers are started: like
// outside, and a warning, too, for who only wants to see the project.
func (ld *loader) atStart(p *compose.Project, message, hint string, keys ...string) {
	sev := SeverityError
	if ld.opts.Lenient || ld.opts.Render {
		sev = SeverityWarning
	}
	ld.findingAt(p, sev, message, hint, keys...)
}

func (ld *loader) findingAt(p *compose.Project, sev Severity, message, hint string, keys ...string) {
	ld.findingPos(p.Pos(keys...), sev, message, hint)
}

func (ld *loader) findingPos(pos compose.Pos, sev Severity, message, hint string) {
	d := Diagnostic{Pos: pos, Severity: sev, Message: message, Hint: hint}
	if src := ld.sourceNamed(pos.File); src != nil {
		d = place{src, int32(pos.Line), int32(pos.Col)}.diagnose(sev, wordAt(src, pos), message, hint)
	}
	ld.add(d)
}

// wordAt is the key or plain word at pos, so that a caret stops before its
// colon.
func wordAt(src *source, pos compose.Pos) string {
	line := []rune(src.line(pos.Line))
	from := min(max(pos.Col-1, 0), len(line))
	if from < len(line) && (line[from] == '{' || line[from] == '[') {
		return ""
	}
	for to := from; to < len(line); to++ {
		end := to+1 == len(line)
		switch c := line[to]; {
		case c == ':' && (end || line[to+1] == ' '), c == ']', c == '}', c == ',' && (end || line[to+1] == ' '):
			return string(line[from:to])
		}
	}
	return ""
}

func (ld *loader) sourceNamed(name string) *source {
	if name == "" {
		return nil
	}
	if src, ok := ld.byName[name]; ok {
		return src
	}
	return nil
}
