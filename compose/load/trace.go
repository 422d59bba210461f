package load

import (
	"strings"

	"devstack/compose"
)

// trace remembers, for Explain, what every file said before files merged.
type trace struct {
	docs    []traced        // in the order in which they were taken: a later one wins
	extends map[link]traced // a service that extends -> what it extends, as its file has it
	raw     map[place]string
	vars    map[string][]Origin // from environment files, in the order read
}

// traced is a document, or a service of an extends file.
type traced struct {
	src     *source
	node    *node
	service string // of extends: the name in its file
	from    string // in what way it was taken
}

func newTrace() *trace {
	return &trace{extends: map[link]traced{}, raw: map[place]string{}, vars: map[string][]Origin{}}
}

// doc remembers a document; n is copied, since merging changes it.
func (t *trace) doc(src *source, n *node, from string) {
	if t != nil {
		t.docs = append(t.docs, traced{src: src, node: n, from: from})
	}
}

// from tells in what way the file of that name was taken.
func (t *trace) from(name string) string {
	for _, d := range t.docs {
		if d.src.name == name {
			return d.from
		}
	}
	return fromExtends
}

// copied is what n is now, for later; nil when nobody asks.
func (t *trace) copied(n *node) *node {
	if t == nil {
		return nil
	}
	return n.copy(true)
}

// extend remembers that a service of a file extends another one.
func (t *trace) extend(here link, base *node, file *source, service string) {
	if t != nil {
		t.extends[here] = traced{src: file, node: base.copy(true), service: service, from: fromExtends}
	}
}

// expanded remembers a text as it was before its variables were put in.
func (t *trace) expanded(at place, text string) {
	if t != nil {
		t.raw[at] = text
	}
}

// assigned remembers the lines of an environment file.
func (t *trace) assigned(lines []assignment, from string) {
	if t == nil {
		return
	}
	for _, a := range lines {
		t.vars[a.key] = append(t.vars[a.key], Origin{Pos: a.pos(), From: from, Value: a.value})
	}
}

// inContainer remembers the lines of an env_file.
func (t *trace) inContainer(path string, lines []assignment) {
	if t == nil {
		return
	}
	for _, a := range lines {
		key := envFileKey(path, a.key)
		t.vars[key] = append(t.vars[key], Origin{Pos: a.pos(), From: fromEnvFile, Value: a.value})
	}
}

// at finds the value at a path of keys joined with dots. Keys may have dots of
// their own.
func (n *node) at(path string) *node {
	if path == "" || n == nil {
		return n
	}
	for i := range n.keys {
		rest, ok := strings.CutPrefix(path, n.keys[i].key)
		if !ok || rest != "" && rest[0] != '.' {
			continue
		}
		if found := n.keys[i].val.at(strings.TrimPrefix(rest, ".")); found != nil {
			return found
		}
	}
	return nil
}

// Origin is one place that sets a value.
type Origin struct {
	Pos   compose.Pos // none for the environment
	From  string      // the kind of place: "project file", "extends", "environment", ...
	Value string      // the value there, variables put in
	Raw   string      // the text there, where it has variables
	Wins  bool
}

// Explanation says where a value comes from.
type Explanation struct {
	Subject   string
	Value     string // what it is in the end
	Set       bool   // false: it has no value
	Origins   []Origin
	Why       string
	Variables []Explanation // those in the text that won
}
