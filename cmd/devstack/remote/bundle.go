package remote

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"

	"devstack/compose"
	"devstack/compose/load"
)

// Bundle is what a project's files become when they are published: paths of
// env_file and of extends are replaced by names of files beside them, since
// paths mean nothing elsewhere.
type Bundle struct {
	Files    []File // that merge, then those of extends
	EnvFiles []File
	// Doubts are what should perhaps not be public.
	Doubts []Doubt
}

// Doubt is a place that may hold something private.
type Doubt struct {
	Pos  compose.Pos
	Text string
	// Env says that it is about the environment, which --with-env allows.
	Env bool
}

// Collect reads the files of a project. takes tells what lies elsewhere and
// therefore stays as it is, show is how a path is called in messages.
func Collect(p *compose.Project, takes func(string) bool, show func(path string) string) (*Bundle, error) {
	c := collector{project: p, takes: takes, show: show, names: map[string]string{}, bundle: &Bundle{}}
	for _, path := range p.Files {
		if path == "-" {
			return nil, errors.New("a project file read from standard input cannot be published")
		}
		if err := c.add(path, File{Name: filepath.Base(path)}, p.WorkingDir); err != nil {
			return nil, err
		}
	}
	for len(c.extends) > 0 {
		path := c.extends[0]
		c.extends = c.extends[1:]
		if err := c.add(path, File{Name: c.names[path], Extends: true}, filepath.Dir(path)); err != nil {
			return nil, err
		}
	}
	return c.bundle, nil
}

type collector struct {
	project *compose.Project
	takes   func(string) bool
	show    func(string) string
	names   map[string]string // of files beside, by path
	extends []string          // paths that are still to be read
	bundle  *Bundle
}

// edit replaces the scalar at a place of a file.
type edit struct {
	node *yaml.Node
	text string
}

func (c *collector) add(path string, f File, base string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read project file: %w", err)
	}
	file := fileReader{c: c, path: path, base: base}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("parse %s: %w", path, err)
		}
		if len(doc.Content) == 1 {
			if err := file.document(doc.Content[0]); err != nil {
				return err
			}
		}
	}
	if f.Content, err = replace(data, file.edits); err != nil {
		return fmt.Errorf("publish %s: %w", path, err)
	}
	c.bundle.Doubts = append(c.bundle.Doubts, secretsIn(c.show(path), data)...)
	c.bundle.Files = append(c.bundle.Files, f)
	return nil
}

// fileReader looks for what has to change in one file.
type fileReader struct {
	c          *collector
	path, base string
	edits      []edit
}

func (r *fileReader) pos(n *yaml.Node) compose.Pos {
	return compose.Pos{File: r.c.show(r.path), Line: n.Line, Col: n.Column}
}

func (r *fileReader) document(doc *yaml.Node) error {
	for _, inc := range items(value(doc, "include")) {
		paths := items(inc)
		if inc.Kind == yaml.MappingNode {
			paths = items(value(inc, "path"))
		}
		for _, p := range paths {
			if !r.c.takes(p.Value) {
				return fmt.Errorf("%s: cannot publish compose file with local includes\nhint: publish %s on its own and include it with oci://", r.pos(p), p.Value)
			}
		}
	}
	for _, service := range members(value(doc, "services")) {
		if err := r.service(service[0].Value, service[1]); err != nil {
			return err
		}
	}
	for _, config := range members(value(doc, "configs")) {
		if n := value(config[1], "content"); n != nil && literal(n.Value) {
			r.c.bundle.Doubts = append(r.c.bundle.Doubts, Doubt{Pos: r.pos(n), Text: fmt.Sprintf("config %q: literal content", config[0].Value)})
		}
	}
	return nil
}

func (r *fileReader) service(name string, s *yaml.Node) error {
	for _, n := range items(value(s, "env_file")) {
		if n.Kind == yaml.MappingNode {
			n = value(n, "path")
		}
		if n == nil || n.Kind != yaml.ScalarNode {
			continue
		}
		r.c.bundle.Doubts = append(r.c.bundle.Doubts, Doubt{Pos: r.pos(n), Text: fmt.Sprintf("service %q: env_file declared", name), Env: true})
		if err := r.envFile(n); err != nil {
			return err
		}
	}
	for key, n := range environment(value(s, "environment")) {
		if suspicious(key) && literal(n.text) {
			r.c.bundle.Doubts = append(r.c.bundle.Doubts, Doubt{Pos: r.pos(n.node), Text: fmt.Sprintf("service %q: literal value for %q", name, key), Env: true})
		}
	}
	file := value(value(s, "extends"), "file")
	if file == nil || r.c.takes(file.Value) {
		return nil
	}
	path, err := r.resolve(file)
	if err != nil {
		return err
	}
	if r.c.names[path] == "" { // also one of those that merge: as such it has no name
		r.c.extends = append(r.c.extends, path)
	}
	r.c.names[path] = fmt.Sprintf("%x.yaml", sha256.Sum256([]byte(path)))
	r.edits = append(r.edits, edit{file, r.c.names[path]})
	return nil
}

func (r *fileReader) envFile(n *yaml.Node) error {
	path, err := r.resolve(n)
	if err != nil {
		return err
	}
	name, known := r.c.names[path]
	if !known {
		name = fmt.Sprintf("%x.env", sha256.Sum256([]byte(path)))
		r.c.names[path] = name
		data, err := os.ReadFile(path)
		switch {
		case err == nil:
			r.c.bundle.EnvFiles = append(r.c.bundle.EnvFiles, File{Name: name, Content: data, Env: true})
			r.c.bundle.Doubts = append(r.c.bundle.Doubts, secretsIn(r.c.show(path), data)...)
		case !errors.Is(err, fs.ErrNotExist): // one that need not be there
			return fmt.Errorf("%s: read env_file: %w", r.pos(n), err)
		}
	}
	r.edits = append(r.edits, edit{n, name})
	return nil
}

// resolve makes a path of the file absolute, variables put in.
func (r *fileReader) resolve(n *yaml.Node) (string, error) {
	path, err := load.Interpolate(n.Value, func(key string) (string, bool) {
		v, ok := r.c.project.Environment[key]
		return v, ok
	})
	if err != nil {
		return "", fmt.Errorf("%s: %w", r.pos(n), err)
	}
	if rest, ok := strings.CutPrefix(path, "~"); ok {
		path = r.c.project.Environment["HOME"] + rest
	}
	if filepath.IsAbs(path) {
		return filepath.Clean(path), nil
	}
	return filepath.Join(r.base, path), nil
}

// value is a member of a mapping, or nil.
func value(n *yaml.Node, key string) *yaml.Node {
	for _, m := range members(n) {
		if m[0].Value == key {
			return m[1]
		}
	}
	return nil
}

// members are the keys and values of a mapping, with those that it merges.
func members(n *yaml.Node) (out [][2]*yaml.Node) {
	if n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Tag == "!!merge" {
			merged = append(merged, items(n.Content[i+1])...)
			continue
		}
		out = append(out, [2]*yaml.Node{n.Content[i], n.Content[i+1]})
	}
	for _, from := range merged { // what is there already counts
		for _, m := range members(from) {
			if !slices.ContainsFunc(out, func(o [2]*yaml.Node) bool { return o[0].Value == m[0].Value }) {
				out = append(out, m)
			}
		}
	}
	return out
}

// items are the entries of a list; one that is not a list is its own.
func items(n *yaml.Node) []*yaml.Node {
	switch {
	case n == nil:
		return nil
	case n.Kind == yaml.AliasNode:
		return items(n.Alias)
	case n.Kind == yaml.SequenceNode:
		return n.Content
	}
	return []*yaml.Node{n}
}

// replace carries out edits, each of a scalar on one line.
func replace(data []byte, edits []edit) ([]byte, error) {
	lines := bytes.SplitAfter(data, []byte("\n"))
	slices.SortFunc(edits, func(a, b edit) int { // from the end, so that places stay true
		if a.node.Line != b.node.Line {
			return b.node.Line - a.node.Line
		}
		return b.node.Column - a.node.Column
	})
	for i, e := range edits {
		if i > 0 && edits[i-1].node == e.node {
			continue // reached twice, through an anchor
		}
		runes := []rune(string(lines[e.node.Line-1]))
		from := e.node.Column - 1
		for from < len(runes) && (runes[from] == '&' || runes[from] == '!') { // an anchor, a tag
			for from < len(runes) && !unicode.IsSpace(runes[from]) {
				from++
			}
			for from < len(runes) && unicode.IsSpace(runes[from]) {
				from++
			}
		}
		width := scalarWidth(runes[from:], e.node)
		if width < 0 {
			return nil, fmt.Errorf("line %d: the path has to stand on one line", e.node.Line)
		}
		lines[e.node.Line-1] = []byte(string(runes[:from]) + e.text + string(runes[from+width:]))
	}
	return bytes.Join(lines, nil), nil
}

// scalarWidth is how many characters a scalar takes, -1 for one that goes on
// in the next line.
func scalarWidth(at []rune, n *yaml.Node) int {
	if len(at) == 0 {
		return -1
	}
	switch n.Style &^ yaml.TaggedStyle {
	case yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle:
		quote := at[0]
		for i := 1; i < len(at); i++ {
			switch {
			case at[i] == '\\' && quote == '"':
				i++
			case at[i] == quote && quote == '\'' && i+1 < len(at) && at[i+1] == quote:
				i++
			case at[i] == quote:
				return i + 1
			}
		}
		return -1
	case 0:
		if text := []rune(n.Value); strings.HasPrefix(string(at), n.Value) {
			return len(text)
		}
	}
	return -1
}
