package load

import (
	"errors"
	"path"
	"strings"

	"devstack/compose"
	"devstack/schema"

	"github.com/mattn/go-shellwords"
)

// longScalar gives the long form of a scalar.
func (c *conformer) longScalar(n *node, v *schema.Value, t *trail) *node {
	wrap := func(key string) *node { return mapAt(n.place, pair(key, n)) }
	switch v.Short {
	case schema.OneOrMore:
		return c.sequence(listAt(n.place, n), v, t)
	case schema.Words:
		return c.words(n, t)
	case schema.ShellTest:
		return listAt(n.place, textAt(n.place, "CMD-SHELL"), n)
	case schema.Context:
		n.text = c.absolute(n.text, schema.ContextPath)
		return wrap("context")
	case schema.Service:
		return wrap("service")
	case schema.Source:
		return wrap("source")
	case schema.Cron:
		return wrap("cron")
	case schema.Include:
		return mapAt(n.place, pair("path", listAt(n.place, n)))
	case schema.EnvFileSpec:
		n.text = c.absolute(n.text, schema.FilePath)
		return mapAt(n.place, pair("path", n), pair("required", boolAt(n.place, true)))
	case schema.GPUs:
		return listAt(n.place, mapAt(n.place, pair("count", intAt(n.place, -1))))
	case schema.DeviceSpec:
		return c.device(n, t)
	case schema.MountSpec:
		m := c.mountSpec(n, t)
		if m != nil {
			c.mountPaths(m)
		}
		return m
	case schema.Hosts:
		return listAt(n.place, n)
	case schema.Stringified:
		n.kind = textKind
	}
	return n
}

// longMapping completes a mapping that was in its long form already.
func (c *conformer) longMapping(n *node, v *schema.Value, t *trail) *node {
	switch v.Short {
	case schema.Hosts:
		for i := range n.keys {
			e := &n.keys[i]
			if !validHost(e.key) {
				c.ld.add(e.at.diagnose(SeverityError, e.key, t.subject()+": bad host name "+quote(e.key), ""))
			}
			if e.val.kind != listKind {
				e.val = listAt(e.val.place, textAt(e.val.place, e.val.text))
			}
			for _, ip := range e.val.list {
				ip.text = unbracket(ip.text)
			}
		}
	case schema.EnvFileSpec:
		if n.get("required") == nil {
			n.set("required", n.place, boolAt(n.place, true))
		}
	case schema.External:
		c.external(n, t)
	case schema.MountSpec:
		c.mountPaths(n)
	case schema.DependsOn:
		for _, e := range n.keys {
			if e.val.kind != mapKind {
				continue
			}
			if e.val.get("condition") == nil {
				e.val.set("condition", e.at, textAt(e.at, compose.ConditionStarted))
			}
		}
	}
	return n
}

// longList gives the long form of a list, without repetitions.
func (c *conformer) longList(n *node, v *schema.Value, t *trail) *node {
	switch v.Short {
	case schema.Pairs:
		return c.pairs(n, v, t)
	case schema.Flags:
		m := mapAt(n.place)
		for _, e := range n.list {
			m.set(e.text, e.place, nullAt(e.place))
		}
		return m
	case schema.DependsOn:
		m := mapAt(n.place)
		for _, e := range n.list {
			m.set(e.text, e.place, mapAt(e.place,
				pair("condition", textAt(e.place, compose.ConditionStarted)),
				pair("required", boolAt(e.place, true))))
		}
		return m
	case schema.Hosts:
		return c.hosts(n, t)
	}
	n.list = distinct(n.list, v.Unique, v.Merge)
	return n
}

// pairs makes a mapping of a list of KEY=VALUE.
func (c *conformer) pairs(n *node, v *schema.Value, t *trail) *node {
	m := mapAt(n.place)
	m.tag = n.tag
	at := make(map[string]int, len(n.list))
	for _, e := range n.list {
		key, value, ok := strings.Cut(e.text, "=")
		if strings.TrimRight(key, " \t") != key {
			c.fault(e, "remove the space before =", "%s: variable %s is declared with a trailing space", t.subject(), quote(key))
			continue
		}
		val := nullAt(e.place)
		if ok {
			val = textAt(e.place, value)
			if v.Map != nil && v.Map.Place != schema.NoPath {
				val.text = c.absolute(value, v.Map.Place)
			}
		}
		if i, dup := at[key]; dup {
			m.keys[i] = entry{key, e.place, val}
			continue
		}
		at[key] = len(m.keys)
		m.keys = append(m.keys, entry{key, e.place, val})
	}
	return m
}

// hosts makes a mapping of lists of a list of HOST=IP or HOST:IP.
func (c *conformer) hosts(n *node, t *trail) *node {
	m := mapAt(n.place)
	m.tag = n.tag
	for _, e := range n.list {
		host, ip, ok := strings.Cut(e.text, "=")
		if !ok {
			host, ip, ok = strings.Cut(e.text, ":")
		}
		if !ok || !validHost(host) {
			c.fault(e, "an entry is HOST=IP", "%s: invalid host %s", t.subject(), quote(e.text))
			continue
		}
		list := m.get(host)
		if list == nil {
			list = listAt(e.place)
			m.set(host, e.place, list)
		}
		for _, one := range strings.Split(ip, ",") {
			list.list = append(list.list, textAt(e.place, unbracket(one)))
		}
	}
	return m
}

func validHost(s string) bool { return s != "" && !strings.ContainsAny(s, ":=") }

func unbracket(ip string) string {
	if len(ip) > 2 && ip[0] == '[' && ip[len(ip)-1] == ']' {
		return ip[1 : len(ip)-1]
	}
	return ip
}

// words splits a command line. It is not run by a shell: what a shell would
// treat as an operator ends it, as in Compose, but not silently.
func (c *conformer) words(n *node, t *trail) *node {
	parser := shellwords.NewParser()
	args, err := parser.Parse(n.text)
	if err != nil {
		return c.fault(n, "quote the special characters, or write the command as a list", "%s: %v", t.subject(), errors.New("the command line cannot be split"))
	}
	if parser.Position >= 0 {
		rest := []rune(n.text)
		c.ld.add(n.diagnose(SeverityWarning, n.text, t.subject()+": everything from "+quote(string(rest[min(parser.Position, len(rest)):]))+" on is ignored, because no shell runs this line",
			"write [\"sh\", \"-c\", \"...\"] to have a shell run it"))
	}
	out := listAt(n.place)
	out.tag = n.tag
	for _, a := range args {
		out.list = append(out.list, textAt(n.place, a))
	}
	return out
}

// device reads SOURCE[:TARGET[:PERMISSIONS]].
func (c *conformer) device(n *node, t *trail) *node {
	part := strings.Split(n.text, ":")
	source, target, permissions := part[0], part[0], "rwm"
	switch len(part) {
	case 3:
		permissions = part[2]
		fallthrough
	case 2:
		if part[1] != "" {
			target = part[1]
		}
	case 1:
	default:
		return c.fault(n, "use the long form: source, target, permissions", "%s: confusing device mapping %s", t.subject(), quote(n.text))
	}
	return mapAt(n.place,
		pair("source", textAt(n.place, source)),
		pair("target", textAt(n.place, target)),
		pair("permissions", textAt(n.place, permissions)))
}

// external turns the deprecated external: {name: X} round.
func (c *conformer) external(n *node, t *trail) {
	ext := n.get("external")
	if ext == nil || ext.kind != mapKind {
		return
	}
	name := ext.entry("name")
	n.set("external", ext.place, boolAt(ext.place, true))
	if name == nil {
		return
	}
	c.ld.add(name.at.diagnose(SeverityWarning, "name", t.subject()+".external.name is deprecated", "set name: "+name.val.text+" beside external: true"))
	if own := n.get("name"); own != nil && own.text != name.val.text {
		c.fault(name.val, "only use name", "%s: name and external.name differ", t.subject())
		return
	}
	n.set("name", name.at, name.val)
}

// mountPaths cleans the target of a mount and makes a bind's source absolute.
func (c *conformer) mountPaths(n *node) {
	if target := n.get("target"); target != nil && target.text != "" {
		target.text = path.Clean(target.text)
	}
	if src := n.get("source"); src != nil && n.str("type") == compose.MountBind {
		src.text = c.absolute(src.text, schema.SourcePath)
	}
	if b := n.get("bind"); b != nil && b.kind == mapKind && b.get("create_host_path") == nil {
		b.set("create_host_path", b.place, boolAt(b.place, true))
	}
}
