package load

import (
	"path/filepath"
	"strings"
	"unicode/utf8"

	"devstack/compose"
)

// source is a file that was read, kept to quote its lines.
type source struct {
	name string // as shown to the user
	path string // absolute; empty for standard input
	data []byte

	lines []int // where each line begins; made when first needed
}

// showName is the name of a file in messages: relative when it is near.
func showName(cwd, path string) string {
	rel, err := filepath.Rel(cwd, path)
	if err != nil || strings.HasPrefix(rel, filepath.Join("..", "..", "..")) {
		return path
	}
	switch filepath.Base(rel) {
	case ".", "..": // cwd, or what is above it
		return path
	}
	return rel
}

// line gives the text of line n, counted from 1.
func (s *source) line(n int) string {
	if s.lines == nil {
		s.lines = []int{0}
		for i, c := range s.data {
			if c == '\n' {
				s.lines = append(s.lines, i+1)
			}
		}
	}
	if n < 1 || n > len(s.lines) {
		return ""
	}
	rest := s.data[s.lines[n-1]:]
	if n < len(s.lines) {
		rest = s.data[s.lines[n-1] : s.lines[n]-1]
	}
	return strings.TrimSuffix(string(rest), "\r")
}

// place is a position in a source.
type place struct {
	src       *source
	line, col int32
}

func (p place) pos() compose.Pos {
	if p.src == nil {
		return compose.Pos{}
	}
	return compose.Pos{File: p.src.name, Line: int(p.line), Col: int(p.col)}
}

// token measures the word at p: a quoted text with its quotes, or everything
// up to a comment or the end of the line, but no more than known.
func (p place) token(known string) (line string, width int) {
	if p.src == nil || p.line == 0 {
		return "", 0
	}
	line = p.src.line(int(p.line))
	rest := line
	for i := int32(1); i < p.col && rest != ""; i++ {
		_, n := utf8.DecodeRuneInString(rest)
		rest = rest[n:]
	}
	rest = strings.TrimRight(rest, " \t")
	switch {
	case rest == "":
		return line, 1
	case rest[0] == '"' || rest[0] == '\'':
		for i := 1; i < len(rest); i++ {
			if rest[i] == '\\' && rest[0] == '"' {
				i++
			} else if rest[i] == rest[0] {
				return line, utf8.RuneCountInString(rest[:i+1])
			}
		}
	case rest[0] == '{' || rest[0] == '[':
		return line, utf8.RuneCountInString(rest[:flowLen(rest)])
	case known != "" && strings.HasPrefix(rest, known):
		return line, utf8.RuneCountInString(known)
	default:
		rest, _, _ = strings.Cut(rest, " #")
	}
	return line, utf8.RuneCountInString(rest)
}

// flowLen is the length of the flow list or mapping that s begins with, or all
// of s when it goes on in the next line.
func flowLen(s string) int {
	depth, quoted := 0, byte(0)
	for i := range len(s) {
		switch c := s[i]; {
		case quoted != 0:
			if c == quoted {
				quoted = 0
			}
		case c == '"' || c == '\'':
			quoted = c
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

// diagnose makes a finding about the word at p.
func (p place) diagnose(sev Severity, known, message, hint string) Diagnostic {
	line, width := p.token(known)
	return Diagnostic{Pos: p.pos(), Severity: sev, Message: message, Hint: hint, Line: line, Width: width}
}
