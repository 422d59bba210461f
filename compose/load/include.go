package load

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"devstack/schema"
)

// include takes in the files that the document names. What the document
// itself declares goes on top of what they declare.
func (m *model) include(doc *node, src *source) {
	list := doc.get("include")
	doc.remove("include")
	if list == nil {
		return
	}
	for _, inc := range list.list {
		if from := m.included(inc, src); from != nil {
			m.take(doc, from, src)
		}
	}
}

// included loads one include as a project of its own, without a name.
func (m *model) included(inc *node, src *source) *node {
	paths := inc.get("path")
	if paths == nil || len(paths.list) == 0 {
		m.ld.add(inc.diagnose(SeverityError, "", "include lacks \"path\"", ""))
		return nil
	}
	sub := model{ld: m.ld, chain: append(slices.Clone(m.chain), src.path)}
	var files []parsed
	for i, p := range paths.list {
		path, err := m.ld.locate(m.base, p.text)
		if err != nil {
			m.ld.add(p.diagnose(SeverityError, p.text, "include: "+err.Error(), ""))
			return nil
		}
		if i == 0 {
			sub.base = filepath.Dir(path)
			if dir := inc.str("project_directory"); dir != "" {
				sub.base = m.ld.in(m.base, dir)
			}
			if slices.Contains(sub.chain, path) {
				m.ld.includeCycle(p, append(sub.chain, path))
				return nil
			}
		}
		file, err := m.ld.read(path)
		if err != nil {
			m.ld.add(p.diagnose(SeverityError, p.text, "include: "+err.Error(), ""))
			return nil
		}
		files = append(files, m.ld.parseYAML(file))
	}
	if !m.includedEnv(&sub, inc) {
		return nil
	}
	for _, f := range files {
		sub.addFile(f)
	}
	sub.finish()
	return sub.dict
}

// includedEnv gives the included files their environment: ours, completed by
// their own .env or env_file.
func (m *model) includedEnv(sub *model, inc *node) bool {
	var envFiles []string
	if list := inc.get("env_file"); list != nil {
		for _, f := range list.list {
			path := m.ld.in(m.base, f.text)
			if info, err := os.Stat(path); f.text != os.DevNull && (err != nil || info.IsDir()) {
				m.ld.add(f.diagnose(SeverityError, f.text, "include: env_file "+quote(f.text)+" cannot be read", ""))
				return false
			}
			envFiles = append(envFiles, path)
		}
	} else {
		path := filepath.Join(sub.base, ".env")
		m.ld.consult(path)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			envFiles = []string{path}
		}
	}
	vars, err := m.ld.envFiles(envFiles, m.env, fromIncluded)
	if err != nil {
		return false
	}
	sub.env = cloneEnv(m.env)
	for k, v := range vars {
		if _, ok := sub.env[k]; !ok {
			sub.env[k] = v
		}
	}
	return true
}

func (ld *loader) includeCycle(at *node, chain []string) {
	for i, p := range chain {
		chain[i] = ld.show(p)
	}
	ld.add(at.diagnose(SeverityError, at.text, "include cycle: "+strings.Join(chain, " includes "), ""))
}

// take puts what an include declares below what doc, which src holds, declares
// itself or has taken from includes before. To complete an include in the file
// that names it is a habit; two includes that say different things are not.
func (m *model) take(doc, from *node, src *source) {
	for _, section := range []string{"services", "jobs", "volumes", "networks", "secrets", "configs", "models"} {
		theirs := from.entry(section)
		if theirs == nil {
			continue
		}
		ours := doc.get(section)
		if ours == nil {
			doc.set(section, theirs.at, theirs.val)
			continue
		}
		v := schema.Project.Lookup(section).Map
		for _, e := range theirs.val.keys {
			mine := ours.entry(e.key)
			switch {
			case mine == nil:
				ours.keys = append(ours.keys, e)
			case mine.val.tag == resetTag, mine.val.equal(e.val):
			default:
				if mine.val.src != src && mine.val.src != e.val.src {
					m.ld.add(e.at.diagnose(SeverityWarning, e.key, section+"."+e.key+" is declared by two included files, which are merged",
						"the other one is at "+mine.val.pos().String()))
				}
				mine.val = merge(e.val.clone(), mine.val, v)
			}
		}
	}
}
