package load

import "strings"

// Variable is one use of a variable in a project file.
type Variable struct {
	Name      string
	Default   string // of ${NAME-default} and ${NAME:-default}
	Alternate string // of ${NAME+alternate} and ${NAME:+alternate}
	Required  bool   // ${NAME?message} and ${NAME:?message}
}

// variablesIn tells of the variables of a text, outer ones before those in
// their defaults. What is not a variable, or nested too deeply, is passed over:
// expand reports it.
func variablesIn(text string, found func(Variable)) { variablesBelow(text, 0, found) }

func variablesBelow(text string, depth int, found func(Variable)) {
	if depth > maxNesting {
		return
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '$' {
			continue
		}
		rest := text[i+1:]
		switch {
		case strings.HasPrefix(rest, "$"):
			i++
		case strings.HasPrefix(rest, "{"):
			length := bracedLen(text[i:])
			if length < 0 {
				return
			}
			variableIn(text[i+2:i+length-1], depth, found)
			i += length - 1
		default:
			if n := nameLen(rest); n > 0 {
				found(Variable{Name: rest[:n]})
				i += n
			}
		}
	}
}

// variableIn reads what stands between braces.
func variableIn(text string, depth int, found func(Variable)) {
	n := nameLen(text)
	if n == 0 {
		return
	}
	v, rest := Variable{Name: text[:n]}, strings.TrimPrefix(text[n:], ":")
	if rest == "" {
		found(v)
		return
	}
	operand := rest[1:]
	switch rest[0] {
	case '-':
		v.Default = operand
	case '+':
		v.Alternate = operand
	case '?':
		v.Required = true
	}
	found(v)
	variablesBelow(operand, depth+1, found)
}
