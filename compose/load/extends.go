package load

import (
	"fmt"
	"path/filepath"
	"strings"

	"devstack/schema"
)

// extendsFile is a file that services are taken from. Its services are
// checked only when they are asked for.
type extendsFile struct {
	src  *source
	base string
	docs []*node // as parsed
	done map[string]*node
}

// extend completes the services of a document that extend others.
func (m *model) extend(doc *node, src *source) {
	for _, section := range []string{"services", "jobs"} {
		services := doc.get(section)
		if services == nil {
			continue
		}
		for i := range services.keys {
			name := services.keys[i].key
			x := extender{m: m, section: section}
			if full := x.complete(name, func(s string) *node { return services.get(s) }, src.path); full != nil {
				services.keys[i].val = full
			}
		}
	}
}

// extender follows one chain of extends.
type extender struct {
	m       *model
	section string
	chain   []link
	last    *node // names the service that is looked at now
}

type link struct{ file, service string }

// complete gives a service with what it extends below it.
func (x *extender) complete(name string, find func(string) *node, file string) *node {
	service := find(name)
	if service == nil || service.kind != mapKind {
		return service
	}
	ext := service.get("extends")
	if ext == nil || ext.tag == resetTag || ext.kind != mapKind {
		return service
	}
	ref := ext.get("service")
	if ref == nil {
		return service // require reports it
	}
	here := link{file, name}
	for _, l := range x.chain {
		if l == here {
			x.cycle(name)
			return nil
		}
	}
	x.chain, x.last = append(x.chain, here), ref

	baseFind, baseFile := find, file
	if f := ext.get("file"); f != nil && f.text != "" {
		from := x.m.ld.extendsFrom(f, x.m)
		if from == nil {
			return service
		}
		baseFile = from.src.path
		baseFind = func(s string) *node { return from.service(x.m.ld, x.section, s) }
	}
	found := baseFind(ref.text)
	if found == nil {
		x.m.ld.add(ref.diagnose(SeverityError, ref.text, fmt.Sprintf("cannot extend service %q: service %q not found in %s", name, ref.text, x.m.ld.show(baseFile)), ""))
		return service
	}
	x.m.ld.trace.extend(here, found, x.m.ld.sources[baseFile], ref.text)
	base := x.complete(ref.text, baseFind, baseFile)
	if base == nil {
		return nil
	}
	full := base.clone()
	if service.tag == noTag {
		full = merge(full, service, &schema.ServiceValue)
	}
	full.place, full.tag = service.place, service.tag
	full.remove("extends")
	return full
}

func (x *extender) cycle(back string) {
	for _, l := range x.chain {
		if x.m.ld.cyclic[l] {
			return // the same circle from another of its services
		}
	}
	if x.m.ld.cyclic == nil {
		x.m.ld.cyclic = map[link]bool{}
	}
	var b strings.Builder
	for i, l := range x.chain {
		if i > 0 {
			b.WriteString(" extends ")
		}
		b.WriteString(l.service + " in " + x.m.ld.show(l.file))
		x.m.ld.cyclic[l] = true
	}
	x.m.ld.add(x.last.diagnose(SeverityError, x.last.text, "circular reference: "+b.String()+" extends "+back, ""))
}

// extendsFrom reads the file of an extends.
func (ld *loader) extendsFrom(f *node, m *model) *extendsFile {
	key := f.text + "\x00" + m.base
	if from, ok := ld.extends[key]; ok {
		return from
	}
	if ld.extends == nil {
		ld.extends = map[string]*extendsFile{}
	}
	var src *source
	path, err := ld.locate("", f.text)
	if err == nil {
		src, err = ld.read(path)
	}
	if err != nil {
		ld.add(f.diagnose(SeverityError, "", "extends: "+err.Error(), ""))
		ld.extends[key] = nil
		return nil
	}
	from := &extendsFile{src: src, base: filepath.Dir(path), done: map[string]*node{}}
	for _, doc := range ld.parseYAML(src).docs {
		c := converter{ld: ld, src: src, look: m.look}
		if n := c.convert(doc, 0); n != nil && n.kind == mapKind {
			from.docs = append(from.docs, n)
		}
	}
	ld.extends[key] = from
	return from
}

// service gives a service of the file in its long form, or nil.
func (f *extendsFile) service(ld *loader, section, name string) *node {
	if n, ok := f.done[section+"."+name]; ok {
		return n
	}
	top := &trail{v: &schema.Project}
	v := schema.Project.Lookup(section)
	var full *node
	for _, doc := range f.docs {
		raw := doc.get(section).get(name)
		if raw == nil {
			continue
		}
		c := conformer{ld: ld, base: f.base}
		if n := c.conform(raw, v.Map, &trail{&trail{top, section, v}, name, v.Map}); n != nil {
			full = merge(full, n, v.Map)
		}
	}
	f.done[section+"."+name] = full
	return full
}
