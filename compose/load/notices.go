package load

import (
	"fmt"
	"strconv"

	"devstack/compose"
)

// notices warns of what is not wrong and yet seldom meant.
func (v *verifier) notices() {
	if v.ld.opts.Lenient {
		return // the verb starts nothing, and `up` or `config` tells
	}
	v.unusedObjects()
	for _, name := range v.p.ServiceNames() {
		s := v.p.Services[name]
		v.appendedPorts(&s)
	}
}

func (v *verifier) notice(message, hint string, keys ...string) {
	v.ld.findingAt(v.p, SeverityWarning, message, hint, keys...)
}

// unusedObjects names the volumes and networks that no service, enabled or
// not, is attached to.
func (v *verifier) unusedObjects() {
	volumes, networks := map[string]bool{}, map[string]bool{"default": true}
	for _, services := range []map[string]compose.Service{v.p.Services, v.p.Disabled} {
		for _, s := range services {
			for _, m := range s.Volumes {
				volumes[m.Source] = true
			}
			for name := range s.Networks {
				networks[name] = true
			}
			for _, c := range s.PreStart {
				for _, m := range c.Volumes {
					volumes[m.Source] = true
				}
				for name := range c.Networks {
					networks[name] = true
				}
			}
		}
	}
	for _, key := range keysOf(v.p.Volumes) {
		if !volumes[key] && !v.p.Volumes[key].External && !v.jobs() {
			v.notice("volume "+key+" is used by no service and is not made", "mount it in a service, or remove it", "volumes", key)
		}
	}
	for _, key := range keysOf(v.p.Networks) {
		if !networks[key] && !v.p.Networks[key].External && !v.jobs() {
			v.notice("network "+key+" is used by no service and is not made", "list it under networks: of a service, or remove it", "networks", key)
		}
	}
}

// jobs reports whether the project declares jobs, which are not decoded.
func (v *verifier) jobs() bool { return v.p.Positions["jobs"].IsValid() }

// appendedPorts warns where a later file publishes a container port that an
// earlier one publishes already: lists are appended, and both stay.
func (v *verifier) appendedPorts(s *compose.Service) {
	type key struct {
		target   uint32
		protocol string
	}
	first := map[key]int{}
	for i, port := range s.Ports {
		k := key{port.Target, port.Protocol}
		before, ok := first[k]
		if !ok {
			first[k] = i
			continue
		}
		mine, theirs := v.portPos(s, i), v.portPos(s, before)
		if mine.File == theirs.File || !mine.IsValid() || s.Ports[before].Published == port.Published {
			continue
		}
		v.notice(fmt.Sprintf("service %q publishes container port %d twice: %s does not replace %s of %s, lists are appended",
			s.Name, port.Target, published(port), published(s.Ports[before]), theirs),
			"write ports: !override to replace the list", "services", s.Name, "ports", strconv.Itoa(i))
	}
}

func (v *verifier) portPos(s *compose.Service, i int) compose.Pos {
	return v.p.Pos("services", s.Name, "ports", strconv.Itoa(i))
}

func published(p compose.Port) string {
	if p.Published == "" {
		return "an ephemeral port"
	}
	return "host port " + p.Published
}
