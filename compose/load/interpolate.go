package load

import (
	"errors"
	"strings"
)

// lookup finds the value of a variable.
type lookup func(name string) (string, bool)

// templateFault is what is wrong with a text that has variables in it; the
// offending part is text[at:at+length].
type templateFault struct {
	at, length    int
	message, hint string
}

const (
	maxNesting  = 64      // of ${A:-${B:-...}}
	maxExpanded = 4 << 20 // bytes that one text may grow to

	maxAllExpanded = 64 << 20 // bytes that all texts may grow to
)

// expand puts variables into text:
//
//	$$                 a dollar sign
//	$V ${V}            the value, or nothing
//	${V-d} ${V:-d}     d when V is unset (or empty)
//	${V?e} ${V:?e}     a fault that says e when V is unset (or empty)
//	${V+r} ${V:+r}     r when V is set (and not empty)
//
// d, e and r may hold variables again. A dollar sign before anything else
// stands for itself. unset is called for each variable that is taken as
// nothing; it may be nil.
func expand(text string, look lookup, unset func(name string, at int)) (string, *templateFault) {
	if strings.IndexByte(text, '$') < 0 {
		return text, nil
	}
	x := expander{look: look, unset: unset}
	out := x.run(text, 0, 0)
	return out, x.fault
}

type expander struct {
	look  lookup
	unset func(string, int)
	fault *templateFault
}

func (x *expander) fail(at, length int, message, hint string) string {
	if x.fault == nil {
		x.fault = &templateFault{at, length, message, hint}
	}
	return ""
}

func (x *expander) run(text string, base, depth int) string {
	if strings.IndexByte(text, '$') < 0 {
		return text
	}
	if depth > maxNesting {
		return x.fail(base, len(text), "variables are nested too deeply", "")
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		at := strings.IndexByte(text[i:], '$')
		if at < 0 {
			b.WriteString(text[i:])
			break
		}
		b.WriteString(text[i : i+at])
		i += at
		rest := text[i+1:]
		switch {
		case strings.HasPrefix(rest, "$"):
			b.WriteByte('$')
			i += 2
		case strings.HasPrefix(rest, "{"):
			length := bracedLen(text[i:])
			if length < 0 {
				return x.fail(base+i, len(text)-i, "the variable is never closed: "+quote(text[i:]), "close it with }, or write $$ for a dollar sign")
			}
			b.WriteString(x.braced(text[i+2:i+length-1], base+i, length, depth))
			i += length
		default:
			n := nameLen(rest)
			if n == 0 {
				b.WriteByte('$')
				i++
				continue
			}
			b.WriteString(x.value(rest[:n], base+i))
			i += 1 + n
		}
		if x.fault != nil {
			return ""
		}
		if b.Len() > maxExpanded {
			return x.fail(base, len(text), "the text grows beyond 4 MiB with its variables put in", "")
		}
	}
	return b.String()
}

// value is the value of a plain variable.
func (x *expander) value(name string, at int) string {
	v, ok := x.look(name)
	if !ok && x.unset != nil {
		x.unset(name, at)
	}
	return v
}

// braced is the value of what stands between ${ and }.
func (x *expander) braced(inner string, at, length, depth int) string {
	n := nameLen(inner)
	if n == 0 {
		return x.fail(at, length, "${"+clip(inner)+"} does not name a variable", "write $$ for a dollar sign")
	}
	name, op := inner[:n], inner[n:]
	if op == "" {
		return x.value(name, at)
	}
	colon := op[0] == ':'
	if colon {
		op = op[1:]
	}
	if op == "" || !strings.Contains("-?+", op[:1]) {
		return x.fail(at, length, "${"+clip(inner)+"} is not a variable",
			"after the name comes :- (default), :? (required) or :+ (replacement)")
	}
	argAt := at + 2 + len(inner) - len(op) + 1
	arg := op[1:]
	v, ok := x.look(name)
	present := ok && (!colon || v != "")
	switch op[0] {
	case '-':
		if !present {
			return x.run(arg, argAt, depth+1)
		}
	case '+':
		if present {
			return x.run(arg, argAt, depth+1)
		}
	case '?':
		if !present {
			message := "required variable " + name + " is missing a value"
			if why := x.run(arg, argAt, depth+1); why != "" {
				message += ": " + why
			}
			return x.fail(at, length, message, "set "+name+" in the environment or in .env")
		}
	}
	return v
}

// bracedLen is the length of the ${...} that s begins with, or -1. Braces
// inside pair up; where they do not, only those of variables count.
func bracedLen(s string) int {
	for _, plainToo := range []bool{true, false} {
		depth := 0
		for i := 0; i < len(s); i++ {
			switch {
			case s[i] == '{' && (plainToo || i > 0 && s[i-1] == '$'):
				depth++
			case s[i] == '}':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	}
	return -1
}

// nameLen is the length of the variable name that s begins with.
func nameLen(s string) int {
	for i := range len(s) {
		c := s[i]
		if c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || i > 0 && '0' <= c && c <= '9' {
			continue
		}
		return i
	}
	return len(s)
}

// clip shortens a text for a message.
func clip(s string) string {
	if line, _, more := strings.Cut(s, "\n"); more {
		s = line + "..."
	}
	if r := []rune(s); len(r) > 60 {
		s = string(r[:57]) + "..."
	}
	return s
}

func quote(s string) string { return `"` + clip(s) + `"` }

// Interpolate puts the values of variables into a text, as in project files.
func Interpolate(text string, lookup func(name string) (string, bool)) (string, error) {
	out, bad := expand(text, lookup, nil)
	if bad != nil {
		return "", errors.New(bad.message)
	}
	return out, nil
}
