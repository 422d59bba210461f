package load

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// assignment is one KEY=VALUE of an environment file.
type assignment struct {
	key, value string
	place
}

// dotenv reads an environment file as Compose does:
//
//	# comment
//	KEY=value            up to the end of the line or " #"; variables are put in
//	KEY="two\nlines"     may span lines; escapes and variables
//	KEY='as it stands'   may span lines
//	export KEY=value     export is ignored
//	KEY: value           a colon is as good as an equals sign
//	KEY                  taken from the environment, if it is there
//
// Values of earlier lines are visible in later ones, but look comes first.
func dotenv(src *source, vars map[string]string, look lookup, r *report) []assignment {
	p := dotenvParser{src: src, rest: strings.TrimPrefix(string(src.data), "\ufeff"), line: 1, col: 1, r: r}
	p.look = func(name string) (string, bool) {
		if v, ok := look(name); ok {
			return v, true
		}
		v, ok := vars[name]
		return v, ok
	}
	for p.next(vars) {
	}
	return p.out
}

type dotenvParser struct {
	src       *source
	rest      string
	line, col int32
	look      lookup
	total     int // bytes of all values
	out       []assignment
	r         *report
}

func (p *dotenvParser) here() place { return place{p.src, p.line, p.col} }

// eat moves over n bytes.
func (p *dotenvParser) eat(n int) string {
	s := p.rest[:n]
	p.rest = p.rest[n:]
	if at := strings.LastIndexByte(s, '\n'); at >= 0 {
		p.line += int32(strings.Count(s, "\n"))
		p.col = 1 + int32(utf8.RuneCountInString(s[at+1:]))
	} else {
		p.col += int32(utf8.RuneCountInString(s))
	}
	return s
}

// skipLine goes to the next line after a fault, so that all are found.
func (p *dotenvParser) skipLine() {
	if at := strings.IndexByte(p.rest, '\n'); at >= 0 {
		p.eat(at + 1)
	} else {
		p.eat(len(p.rest))
	}
}

func (p *dotenvParser) fault(at place, message, hint string) {
	p.r.add(at.diagnose(SeverityError, "", message, hint))
	p.skipLine()
}

func (p *dotenvParser) next(vars map[string]string) bool {
	p.eat(len(p.rest) - len(strings.TrimLeftFunc(p.rest, unicode.IsSpace)))
	if p.rest == "" {
		return false
	}
	if p.rest[0] == '#' {
		p.skipLine()
		return true
	}
	if after, ok := strings.CutPrefix(p.rest, "export"); ok && after != "" && isBlank(rune(after[0])) {
		p.eat(len("export"))
		p.eat(len(p.rest) - len(strings.TrimLeftFunc(p.rest, isBlank)))
	}
	at := p.here()
	key, inherit, ok := p.key(at)
	if !ok {
		return true
	}
	if inherit {
		if v, ok := p.look(key); ok {
			p.set(vars, key, v, at)
		}
		return true
	}
	p.eat(len(p.rest) - len(strings.TrimLeftFunc(p.rest, isBlank)))
	if v, ok := p.value(); ok {
		p.set(vars, key, v, at)
	}
	return true
}

func (p *dotenvParser) set(vars map[string]string, key, value string, at place) {
	if p.total += len(value); p.total > maxAllExpanded {
		p.fault(at, "variables make the file larger than 64 MiB", "")
		p.rest = ""
		return
	}
	vars[key] = value
	p.out = append(p.out, assignment{key, value, at})
}

// key reads a name with the sign after it. A name alone on its line is
// inherited.
func (p *dotenvParser) key(at place) (key string, inherit, ok bool) {
	end := len(p.rest)
	inherit = true
scan:
	for i, r := range p.rest {
		switch {
		case r == '=' || r == ':' || r == '\n':
			end, inherit = i, r == '\n'
			break scan
		case isBlank(r) || strings.ContainsRune("_.-[]", r) || unicode.IsLetter(r) || unicode.IsNumber(r):
		default:
			line, _, _ := strings.Cut(p.rest, "\n")
			p.fault(at, "unexpected character "+quote(string(r))+" in variable name "+quote(line), "a line is KEY=VALUE, or a comment that begins with #")
			return "", false, false
		}
	}
	key = strings.TrimRightFunc(p.rest[:end], unicode.IsSpace)
	switch {
	case strings.ContainsRune(key, ' '):
		p.fault(at, "key "+quote(key)+" contains a space", "a line is KEY=VALUE")
		return "", false, false
	case key == "":
		p.fault(at, "the variable has no name", "a line is KEY=VALUE")
		return "", false, false
	}
	p.eat(min(end+1, len(p.rest)))
	return key, inherit, true
}

// value reads what stands after the sign.
func (p *dotenvParser) value() (string, bool) {
	at := p.here()
	if p.rest != "" && (p.rest[0] == '"' || p.rest[0] == '\'') {
		return p.quoted(at)
	}
	line, _, _ := strings.Cut(p.rest, "\n")
	p.eat(len(line))
	v, _, _ := strings.Cut(line, " #")
	return p.expand(strings.TrimRightFunc(v, unicode.IsSpace), at)
}

// quoted reads a quoted value, which may span lines.
func (p *dotenvParser) quoted(at place) (string, bool) {
	quoteChar := p.rest[0]
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		c := p.rest[i]
		switch {
		case c == '\\' && i+1 < len(p.rest):
			i++
			if p.rest[i] != quoteChar {
				b.WriteByte('\\')
			}
			b.WriteByte(p.rest[i])
		case c == quoteChar:
			p.eat(i + 1)
			if quoteChar == '\'' {
				return b.String(), true
			}
			return p.expand(unescape(b.String()), at)
		default:
			b.WriteByte(c)
		}
	}
	p.fault(at, "the quoted value is never closed", "close it with "+string(quoteChar))
	return "", false
}

func (p *dotenvParser) expand(text string, at place) (string, bool) {
	v, bad := expand(text, p.look, nil)
	if bad != nil {
		p.r.add(at.inside(text, bad))
		return "", false
	}
	return v, true
}

// unescape resolves the escapes of a double-quoted value; \$ becomes $$ so
// that it survives putting variables in.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch c := s[i]; c {
		case '$':
			b.WriteString("$$")
		case '0':
			n, v := 0, rune(0)
			for n < 3 && i+1+n < len(s) && '0' <= s[i+1+n] && s[i+1+n] <= '7' {
				v = v<<3 | rune(s[i+1+n]-'0')
				n++
			}
			if n < 3 || v > 255 { // not \0123: Compose keeps the backslash and drops the zero
				b.WriteByte('\\')
				continue
			}
			b.WriteRune(v)
			i += n
		default:
			if at := strings.IndexByte(`abfnrtv"\`, c); at >= 0 {
				b.WriteByte("\a\b\f\n\r\t\v\"\\"[at])
			} else {
				b.WriteByte('\\')
				b.WriteByte(c)
			}
		}
	}
	return b.String()
}

// isBlank reports white space that is not a line's end.
func isBlank(r rune) bool {
	switch r {
	case '\t', '\v', '\f', '\r', ' ', 0x85, 0xA0:
		return true
	}
	return false
}

// rawenv reads an environment file whose values are taken as they stand.
func rawenv(src *source, vars map[string]string, look lookup, r *report) (out []assignment) {
	rest := strings.TrimPrefix(string(src.data), "\ufeff")
	for n := int32(1); rest != ""; n++ {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		line = strings.TrimLeftFunc(strings.TrimSuffix(line, "\r"), unicode.IsSpace)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		switch {
		case key == "" || strings.ContainsAny(key, " \t"):
			r.add(place{src, n, 1}.diagnose(SeverityError, "", "variable name "+quote(key)+" is empty or contains white space", "a line is KEY=VALUE"))
		case ok:
			vars[key] = value
			out = append(out, assignment{key, value, place{src, n, 1}})
		default:
			if v, ok := look(key); ok {
				vars[key] = v
				out = append(out, assignment{key, v, place{src, n, 1}})
			}
		}
	}
	return out
}
