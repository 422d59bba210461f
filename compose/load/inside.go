package load

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// inside places a fault of the template text that stands at p: the offending
// part is looked up in the source from p on, since quotes, escapes and block
// scalars make an offset in the value say little about the column.
func (p place) inside(text string, bad *templateFault) Diagnostic {
	at := p.seek(text, bad.at, bad.length)
	line, _ := at.token("")
	part, _, _ := strings.Cut(text[min(bad.at, len(text)):min(bad.at+bad.length, len(text))], "\n")
	width := utf8.RuneCountInString(part)
	return Diagnostic{Pos: at.pos(), Severity: SeverityError, Message: bad.message, Hint: bad.hint, Line: line, Width: width}
}

// seek finds the place in the source of text[at:at+length], where text is the
// value that stands at p.
func (p place) seek(text string, at, length int) place {
	if p.src == nil || p.line == 0 || at >= len(text) {
		return p
	}
	part, _, _ := strings.Cut(text[at:min(at+length, len(text))], "\n")
	nth := strings.Count(text[:at], part)
	rest := p.src.data
	for i := int32(1); i < p.line; i++ {
		_, rest, _ = bytes.Cut(rest, []byte("\n"))
	}
	col := p.col
	for line := p.line; len(rest) > 0 || line == p.line; line++ {
		row, more, _ := bytes.Cut(rest, []byte("\n"))
		from := 0
		for i := int32(1); i < col && from < len(row); i++ {
			_, n := utf8.DecodeRune(row[from:])
			from += n
		}
		for {
			i := bytes.Index(row[from:], []byte(part))
			if i < 0 || part == "" {
				break
			}
			if nth == 0 {
				return place{p.src, line, 1 + int32(utf8.RuneCount(row[:from+i]))}
			}
			nth--
			from += i + len(part)
		}
		rest, col = more, 1
		if len(more) == 0 {
			break
		}
	}
	return p
}
