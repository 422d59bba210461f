package load

import (
	"strconv"

	"devstack/compose"
)

// decoder makes a compose.Project of nodes that conform has checked: it can
// trust their kinds, and sorts nothing out by reflection.
type decoder struct {
	positions compose.Positions
}

// decode makes the project. Services of inactive profiles are still among the
// others.
func (ld *loader) decode(dict *node) *compose.Project {
	d := decoder{positions: make(compose.Positions, ld.values)}
	p := &compose.Project{
		Name:        ld.name,
		Services:    map[string]compose.Service{},
		WorkingDir:  ld.dir,
		Environment: ld.env,
		Extensions:  extensions(dict),
	}
	d.record("", dict)
	p.Positions = d.positions
	each(dict.get("services"), func(name string, n *node) {
		s := compose.Service{Name: name}
		d.service(&s, n)
		p.Services[name] = s
	})
	p.Networks = decodeMap(dict.get("networks"), network)
	p.Volumes = decodeMap(dict.get("volumes"), volume)
	p.Configs = decodeMap(dict.get("configs"), fileObject)
	p.Secrets = decodeMap(dict.get("secrets"), fileObject)
	p.Models = decodeMap(dict.get("models"), aiModel)
	return p
}

// record notes the place of every value below path: of a scalar its own, of a
// list or mapping that of its key.
func (d *decoder) record(path string, n *node) {
	if path != "" {
		path += "."
	}
	for i := range n.keys {
		e := &n.keys[i]
		below := path + e.key
		if e.val.isScalar() {
			d.positions[below] = e.val.pos()
			continue
		}
		d.positions[below] = e.at.pos()
		d.record(below, e.val)
	}
	for i, e := range n.list {
		below := path + strconv.Itoa(i)
		d.positions[below] = e.pos()
		if !e.isScalar() {
			d.record(below, e)
		}
	}
}

// each visits the entries of a mapping.
func each(n *node, visit func(key string, val *node)) {
	if n == nil {
		return
	}
	for _, e := range n.keys {
		visit(e.key, e.val)
	}
}

func decodeMap[T any](n *node, one func(*node) T) map[string]T {
	if n == nil || len(n.keys) == 0 {
		return nil
	}
	m := make(map[string]T, len(n.keys))
	for _, e := range n.keys {
		m[e.key] = one(e.val)
	}
	return m
}

func decodeList[T any](n *node, one func(*node) T) []T {
	if n == nil || len(n.list) == 0 {
		return nil
	}
	l := make([]T, len(n.list))
	for i, e := range n.list {
		l[i] = one(e)
	}
	return l
}

func str(n *node) string { return n.text }

func strs(n *node) []string { return decodeList(n, str) }

// command keeps nil (unset) and empty (cleared) apart.
func command(n *node) []string {
	if n.kind == nullKind {
		return nil
	}
	l := make([]string, len(n.list))
	for i, e := range n.list {
		l[i] = e.text
	}
	return l
}

// texts are KEY: VALUE pairs, nothing being an empty text.
func texts(n *node) map[string]string { return decodeMap(n, str) }

// mapping are KEY: VALUE pairs, nothing being nil.
func mapping(n *node) compose.Mapping {
	return decodeMap(n, func(v *node) *string {
		if v.kind == nullKind {
			return nil
		}
		return &v.text
	})
}

func truth(n *node) bool { return n.text == "true" }

func truthPtr(n *node) *bool {
	b := truth(n)
	return &b
}

func i64(n *node) int64 {
	i, _ := strconv.ParseInt(n.text, 10, 64)
	return i
}

func i64Ptr(n *node) *int64 {
	i := i64(n)
	return &i
}

func intPtr(n *node) *int {
	i := int(i64(n))
	return &i
}

func u64Ptr(n *node) *uint64 {
	u := uint64(i64(n))
	return &u
}

func f32(n *node) float32 {
	f, _ := strconv.ParseFloat(n.text, 32)
	return float32(f)
}

func size(n *node) compose.Bytes { return compose.Bytes(i64(n)) }

func period(n *node) compose.Duration {
	d, _ := parsePeriod(n.text)
	return compose.Duration(d)
}

func periodPtr(n *node) *compose.Duration {
	d := period(n)
	return &d
}

// fileMode writes a mode in octal digits.
func fileMode(n *node) string { return "0" + strconv.FormatInt(i64(n), 8) }

func ptr[T any](v T) *T { return &v }

// extensions collects the x-* keys of a mapping.
func extensions(n *node) compose.Extensions {
	var x compose.Extensions
	for _, e := range n.keys {
		if isExtension(e.key) {
			if x == nil {
				x = compose.Extensions{}
			}
			x[e.key] = plain(e.val)
		}
	}
	return x
}

// plain is a node as YAML values.
func plain(n *node) any {
	switch n.kind {
	case textKind:
		return n.text
	case intKind:
		if i, err := strconv.Atoi(n.text); err == nil {
			return i
		}
		u, _ := strconv.ParseUint(n.text, 10, 64)
		return u
	case floatKind:
		f, _ := strconv.ParseFloat(n.text, 64)
		return f
	case boolKind:
		return truth(n)
	case listKind:
		l := make([]any, len(n.list))
		for i, e := range n.list {
			l[i] = plain(e)
		}
		return l
	case mapKind:
		m := make(map[string]any, len(n.keys))
		for _, e := range n.keys {
			m[e.key] = plain(e.val)
		}
		return m
	}
	return nil
}
