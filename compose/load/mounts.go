package load

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"devstack/compose"
)

// mountSpec gives the long form of [SOURCE:]TARGET[:OPTIONS].
func (c *conformer) mountSpec(n *node, t *trail) *node {
	p, err := splitMount(n.text)
	if err != nil {
		return c.fault(n, "a mount is [SOURCE:]TARGET[:OPTIONS], as \"./src:/app:ro\"", "%s: %v", t.subject(), err)
	}
	text := func(key, value string) entry { return pair(key, textAt(n.place, value)) }
	m := mapAt(n.place)
	var bind, volume []entry
	for _, option := range p.options {
		switch option {
		case "ro":
			m.set("read_only", n.place, boolAt(n.place, true))
		case "rw":
			m.remove("read_only")
		case "nocopy":
			volume = append(volume, pair("nocopy", boolAt(n.place, true)))
		case "z", "Z":
			bind = append(bind, text("selinux", option))
		case "rprivate", "private", "rshared", "shared", "rslave", "slave":
			bind = append(bind, text("propagation", option))
		case "cached", "delegated", "consistent", "":
		default:
			c.ld.add(n.diagnose(SeverityWarning, n.text, t.subject()+": unknown mount option "+quote(option)+" is ignored",
				"options are ro, rw, nocopy, z, Z and the kinds of propagation"))
		}
	}
	kind := compose.MountVolume
	if isHostPath(p.source) {
		kind = compose.MountBind
	}
	m.keys = append(m.keys, text("type", kind), text("target", p.target))
	if p.source != "" {
		m.keys = append(m.keys, text("source", p.source))
	}
	if kind == compose.MountBind || bind != nil {
		m.keys = append(m.keys, pair("bind", mapAt(n.place, bind...)))
	}
	if kind == compose.MountVolume && len(n.text) > 2 || volume != nil {
		m.keys = append(m.keys, pair("volume", mapAt(n.place, volume...)))
	}
	return m
}

type mountParts struct {
	source, target string
	options        []string
}

// splitMount splits at colons, but not after a drive letter.
func splitMount(s string) (mountParts, error) {
	var parts []string
	from := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != ':' {
			continue
		}
		part := s[from:i]
		if i < len(s) && isDrive(part) {
			continue
		}
		if part == "" {
			if s == "" {
				return mountParts{}, errors.New("the mount is empty")
			}
			return mountParts{}, fmt.Errorf("empty section between colons in %s", quote(s))
		}
		parts = append(parts, part)
		from = i + 1
	}
	switch len(parts) {
	case 1:
		return mountParts{target: parts[0]}, nil
	case 2:
		return mountParts{source: parts[0], target: parts[1]}, nil
	case 3:
		return mountParts{parts[0], parts[1], strings.Split(parts[2], ",")}, nil
	}
	return mountParts{}, fmt.Errorf("too many colons in %s", quote(s))
}

func isDrive(s string) bool {
	return len(s) == 1 && ('a' <= s[0] && s[0] <= 'z' || 'A' <= s[0] && s[0] <= 'Z')
}

// isHostPath tells a path on the host from the name of a volume.
func isHostPath(s string) bool {
	if s == "" {
		return false
	}
	if s[0] == '.' || s[0] == '/' || s[0] == '~' || strings.HasPrefix(s, `\\`) {
		return true
	}
	_, n := utf8.DecodeRuneInString(s)
	return len(s) > n && s[n] == ':' && isDrive(s[:n])
}
