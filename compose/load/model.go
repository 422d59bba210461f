package load

import (
	"fmt"

	"devstack/schema"

	"gopkg.in/yaml.v3"
)

// parsed is a file as YAML documents.
type parsed struct {
	src  *source
	docs []*yaml.Node
}

// nameNode finds the value of the top-level name.
func nameNode(doc *yaml.Node) *yaml.Node {
	if doc.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(doc.Content); i += 2 {
		if v := doc.Content[i+1]; doc.Content[i].Value == "name" && v.Kind == yaml.ScalarNode && v.Tag == "!!str" {
			return v
		}
	}
	return nil
}

// model puts together the files that share one project directory: the main
// ones, or those of an include.
type model struct {
	ld    *loader
	base  string
	env   map[string]string
	chain []string // files that lead here, for include cycles
	dict  *node
}

func (m *model) look(name string) (string, bool) {
	v, ok := m.env[name]
	return v, ok
}

// addFile merges a file's documents on top of what is there.
func (m *model) addFile(f parsed) {
	if m.dict == nil {
		m.dict = &node{kind: mapKind, place: place{f.src, 1, 1}}
	}
	for _, doc := range f.docs {
		c := converter{ld: m.ld, src: f.src, look: m.look}
		n := c.convert(doc, 0)
		if n == nil || n.kind == nullKind {
			continue
		}
		if n.kind != mapKind {
			m.ld.add(n.diagnose(SeverityError, n.text, "the top level of a project file must be a mapping, not "+n.describe(), "it begins with \"services:\""))
			continue
		}
		checker := conformer{ld: m.ld, base: m.base}
		if n = checker.conform(n, &schema.Project, &trail{v: &schema.Project}); n == nil {
			continue
		}
		m.obsolete(n)
		said := m.ld.trace.copied(n)
		m.include(n, f.src)
		m.ld.trace.doc(f.src, said, m.kind())
		m.extend(n, f.src)
		mergeKeys(m.dict, n, &schema.Project)
	}
}

// kind says in what way the model's files were taken.
func (m *model) kind() string {
	if len(m.chain) > 0 {
		return fromInclude
	}
	return fromProject
}

// obsolete warns of a version.
func (m *model) obsolete(n *node) {
	if v := n.entry("version"); v != nil {
		m.ld.add(v.at.diagnose(SeverityWarning, "version", "the attribute version is obsolete and ignored", "remove it"))
		n.remove("version")
	}
}

// finish drops what !reset left and sets the defaults that depend on the
// project directory.
func (m *model) finish() {
	if m.dict == nil {
		m.dict = &node{kind: mapKind}
	}
	sweep(m.dict)
	if services := m.dict.get("services"); services != nil {
		for _, e := range services.keys {
			if b := e.val.get("build"); b != nil && b.kind == mapKind && b.get("context") == nil {
				context := m.base
				if m.ld.opts.NoPathResolution {
					context = "."
				}
				b.set("context", b.place, textAt(b.place, context))
			}
		}
	}
	if volumes := m.dict.get("volumes"); volumes != nil && volumes.kind == mapKind {
		c := conformer{ld: m.ld, base: m.base}
		for _, e := range volumes.keys {
			opts := e.val.get("driver_opts")
			if e.val.str("driver") == "local" && opts.str("o") == "bind" {
				if dev := opts.get("device"); dev != nil {
					dev.text = c.absolute(dev.text, schema.SourcePath)
				}
			}
		}
	}
}

// inherit completes the containers of pre_start with what their services say
// of containers. Mounts are not copied: the container takes them from the
// service when it runs.
func inherit(dict *node) {
	hookValue := schema.ServiceValue.Lookup("pre_start").List
	each(dict.get("services"), func(_ string, service *node) {
		hooks := service.get("pre_start")
		if hooks == nil {
			return
		}
		for i, hook := range hooks.list {
			base := mapAt(hook.place)
			for _, e := range service.keys {
				if e.key != "volumes" && !isExtension(e.key) && hookValue.Lookup(e.key) != nil {
					base.keys = append(base.keys, entry{e.key, e.at, e.val.clone()})
				}
			}
			if nets := base.get("networks"); service.get("network_mode") == nil && (nets == nil || len(nets.keys) == 0) {
				base.set("networks", hook.place, mapAt(hook.place, pair("default", nullAt(hook.place))))
			}
			hooks.list[i] = merge(base, hook, hookValue)
		}
	})
}

// sweep removes the marks of !reset below n.
func sweep(n *node) {
	kept := n.keys[:0]
	for _, e := range n.keys {
		if e.val.tag != resetTag {
			sweep(e.val)
			kept = append(kept, e)
		}
	}
	n.keys = kept
	for _, e := range n.list {
		sweep(e)
	}
}

// require reports mappings that lack a key they must have. It looks at the
// merged project, since another file may have supplied the key.
func (ld *loader) require(dict *node) {
	if dict != nil {
		ld.requireAll(dict, &schema.Project, &trail{v: &schema.Project})
	}
}

func (ld *loader) requireAll(n *node, v *schema.Value, t *trail) {
	if v == nil {
		return
	}
	if n.kind == mapKind {
		for _, key := range v.Required {
			if n.get(key) == nil {
				ld.add(n.diagnose(SeverityError, "", fmt.Sprintf("%s lacks %s", t.subject(), quote(key)), ""))
			}
		}
		for _, e := range n.keys {
			if e.val.kind >= listKind {
				inner := v.Lookup(e.key)
				ld.requireAll(e.val, inner, &trail{t, e.key, inner})
			}
		}
	}
	if n.kind == listKind && v.List != nil && v.List.IsMapping() {
		for i, e := range n.list {
			ld.requireAll(e, v.List, &trail{t, indexed(i), v.List})
		}
	}
}
