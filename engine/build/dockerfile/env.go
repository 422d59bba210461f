package dockerfile

import (
	"maps"
	"slices"
	"strings"
)

// env is an ordered set of variables, as shell.Lex asks for them.
type env struct {
	keys   []string
	values map[string]string
}

func newEnv(lines []string) *env {
	e := &env{values: map[string]string{}}
	for _, l := range lines {
		k, v, _ := strings.Cut(l, "=")
		e.set(k, v)
	}
	return e
}

func (e *env) clone() *env {
	if e == nil {
		return newEnv(nil)
	}
	return &env{slices.Clone(e.keys), maps.Clone(e.values)}
}

func (e *env) set(k, v string) {
	if _, ok := e.values[k]; !ok {
		e.keys = append(e.keys, k)
	}
	e.values[k] = v
}

// Get is part of shell.EnvGetter.
func (e *env) Get(k string) (string, bool) {
	v, ok := e.values[k]
	return v, ok
}

// Keys is part of shell.EnvGetter.
func (e *env) Keys() []string { return slices.Clone(e.keys) }

func (e *env) lines() []string {
	out := make([]string, 0, len(e.keys))
	for _, k := range e.keys {
		out = append(out, k+"="+e.values[k])
	}
	return out
}

// setLine sets a variable in KEY=VALUE lines.
func setLine(lines []string, k, v string) []string {
	for i, l := range lines {
		if key, _, _ := strings.Cut(l, "="); key == k {
			lines[i] = k + "=" + v
			return lines
		}
	}
	return append(lines, k+"="+v)
}
