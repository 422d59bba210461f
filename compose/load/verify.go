package load

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"devstack/compose"
	"devstack/compose/graph"
)

// verify checks what only the whole project can tell.
func (ld *loader) verify(p *compose.Project) {
	v := verifier{ld: ld, p: p}
	for _, name := range p.ServiceNames() {
		s := p.Services[name]
		v.source(&s)
		v.references(&s)
		v.dependencies(&s)
		v.namespaces(&s)
		v.healthcheck(&s)
		v.amounts(&s)
		v.values(&s)
		v.hostnames(&s)
		v.mounts(&s)
		v.requests(&s)
		v.own(&s)
	}
	v.resources()
	v.names()
	v.publishedPorts()
	v.addresses()
	v.notices()
	if _, err := graph.New(p); err != nil {
		var cycle *graph.CycleError
		if errors.As(err, &cycle) && len(cycle.Edges) > 1 { // a service that needs itself is reported already
			ld.findingPos(cycle.Edges[0].Pos, SeverityError, cycle.Error(), "")
		}
	}
}

type verifier struct {
	ld *loader
	p  *compose.Project
}

// own checks devstack's own settings.
func (v *verifier) own(s *compose.Service) {
	_, hold := s.Hold()
	if hold != nil {
		v.fault(s, "", at(compose.ExtensionKey, "hold"), "%s of service %q: %v", compose.ExtensionKey, s.Name, hold)
	}
	if _, err := s.OwnBuild(); err != nil && (hold == nil || err.Error() != hold.Error()) { // both fail where it is no mapping
		v.fault(s, "", at(compose.ExtensionKey, "build"), "%s of service %q: %v", compose.ExtensionKey, s.Name, err)
	}
}

func (v *verifier) fault(s *compose.Service, hint string, keys []string, format string, args ...any) {
	v.ld.faultAt(v.p, fmt.Sprintf(format, args...), hint, append([]string{"services", s.Name}, keys...)...)
}

func at(keys ...string) []string { return keys }

// source checks what a service runs.
func (v *verifier) source(s *compose.Service) {
	if s.Image == "" && s.Build == nil && s.Provider == nil {
		v.fault(s, "add image: or build:", nil, "service %q has neither an image nor a build context specified", s.Name)
	}
	b := s.Build
	if b == nil {
		return
	}
	if b.Dockerfile != "" && b.DockerfileInline != "" {
		v.fault(s, "keep one of the two", at("build", "dockerfile_inline"), "service %q declares both dockerfile and dockerfile_inline", s.Name)
	}
	if s.Platform != "" && len(b.Platforms) > 0 && !slices.Contains(b.Platforms, s.Platform) {
		v.fault(s, "", at("platform"), "build.platforms of service %q does not include its platform %q", s.Name, s.Platform)
	}
	for name, context := range b.AdditionalContexts {
		target, ok := strings.CutPrefix(context, "service:")
		if !ok {
			continue
		}
		other, found := v.service(target)
		switch {
		case !found:
			v.fault(s, v.meant(target, v.serviceNames()), at("build", "additional_contexts", name), "service %q uses the undefined service %q as build context %s", s.Name, target, name)
		case other.Build == nil:
			v.fault(s, "", at("build", "additional_contexts", name), "service %q uses service %q as build context %s, but that one is not built", s.Name, target, name)
		}
	}
}

// service finds a service, enabled or not.
func (v *verifier) service(name string) (compose.Service, bool) {
	if s, ok := v.p.Services[name]; ok {
		return s, true
	}
	s, ok := v.p.Disabled[name]
	return s, ok
}

func (v *verifier) serviceNames() []string {
	return append(v.p.ServiceNames(), slices.Sorted(maps.Keys(v.p.Disabled))...)
}

// meant suggests the name that a wrong one looks like.
func (v *verifier) meant(wrong string, names []string) string {
	if near := closest(wrong, names); near != "" {
		return "did you mean " + quote(near) + "?"
	}
	return ""
}

func keysOf[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// references checks that what a service names at the top level is there.
func (v *verifier) references(s *compose.Service) {
	undefined := func(kind, name string, names []string, keys ...string) {
		if name == "" {
			v.fault(s, "name one of the "+kind+"s at the top level", keys[:len(keys)-1], "service %q: a %s lacks \"source\"", s.Name, kind)
			return
		}
		hint := v.meant(name, names)
		if hint == "" {
			hint = "declare it at the top level under " + kind + "s:"
		}
		v.fault(s, hint, keys, "service %q refers to undefined %s %s", s.Name, kind, name)
	}
	for _, name := range keysOf(s.Networks) {
		if _, ok := v.p.Networks[name]; !ok && s.NetworkMode == "" {
			undefined("network", name, keysOf(v.p.Networks), "networks", name)
		}
	}
	for i, m := range s.Volumes {
		if m.Type == compose.MountVolume && m.Source != "" {
			if _, ok := v.p.Volumes[m.Source]; !ok {
				undefined("volume", m.Source, keysOf(v.p.Volumes), "volumes", strconv.Itoa(i), "source")
			}
		}
	}
	for i, c := range s.Configs {
		if _, ok := v.p.Configs[c.Source]; !ok {
			undefined("config", c.Source, keysOf(v.p.Configs), "configs", strconv.Itoa(i), "source")
		}
	}
	for i, c := range s.Secrets {
		if _, ok := v.p.Secrets[c.Source]; !ok {
			undefined("secret", c.Source, keysOf(v.p.Secrets), "secrets", strconv.Itoa(i), "source")
		}
	}
	if s.Build != nil {
		for i, c := range s.Build.Secrets {
			if _, ok := v.p.Secrets[c.Source]; !ok {
				undefined("secret", c.Source, keysOf(v.p.Secrets), "build", "secrets", strconv.Itoa(i), "source")
			}
		}
	}
	for name := range s.Models {
		if _, ok := v.p.Models[name]; !ok {
			undefined("model", name, keysOf(v.p.Models), "models", name)
		}
	}
}

// dependencies checks that what a service waits for is there and can come
// true.
func (v *verifier) dependencies(s *compose.Service) {
	for _, name := range keysOf(s.DependsOn) {
		d := s.DependsOn[name]
		cause, pos := graph.Cause(v.p, s.Name, name)
		verb := map[string]string{"depends_on": "depends on", "links": "links to", "volumes_from": "takes volumes from"}[cause]
		if verb == "" {
			verb = "shares " + cause + " with"
		}
		other, on := v.p.Services[name]
		_, off := v.p.Disabled[name]
		switch {
		case name == s.Name:
			v.ld.findingPos(pos, SeverityError, fmt.Sprintf("service %q %s itself", s.Name, verb), "")
		case !on && off && !d.Required:
		case !on && off:
			profiles := v.p.Disabled[name].Profiles
			v.ld.findingPos(pos, SeverityError, fmt.Sprintf("service %q %s service %q, which the active profiles leave out", s.Name, verb, name),
				"activate it with --profile "+profiles[0]+", or write required: false")
		case !on:
			v.ld.findingPos(pos, SeverityError, fmt.Sprintf("service %q %s undefined service %q", s.Name, verb, name), v.meant(name, v.serviceNames()))
		case d.Condition == compose.ConditionHealthy && other.Healthcheck != nil && disabledCheck(other.Healthcheck):
			v.ld.findingPos(v.p.Pos("services", s.Name, "depends_on", name, "condition"), SeverityError,
				fmt.Sprintf("service %q waits for service %q to be healthy, but the healthcheck of %q is disabled", s.Name, name, name), "use condition: service_started")
		}
	}
}

func disabledCheck(h *compose.Healthcheck) bool {
	return h.Disable || len(h.Test) > 0 && h.Test[0] == "NONE"
}

// namespaces checks network_mode against what excludes it.
func (v *verifier) namespaces(s *compose.Service) {
	if s.NetworkMode == "" {
		return
	}
	if len(s.Networks) > 0 {
		v.fault(s, "keep one of the two", at("network_mode"), "service %q declares both network_mode and networks", s.Name)
	}
	shared := strings.HasPrefix(s.NetworkMode, "service:") || strings.HasPrefix(s.NetworkMode, "container:")
	if shared && len(s.Ports) > 0 {
		v.fault(s, "publish the ports on the service whose network it shares", at("ports"), "service %q publishes ports, but has no network of its own", s.Name)
	}
}

func (v *verifier) healthcheck(s *compose.Service) {
	if s.Healthcheck == nil || len(s.Healthcheck.Test) == 0 {
		return
	}
	switch s.Healthcheck.Test[0] {
	case "CMD", "CMD-SHELL", "NONE":
	default:
		v.fault(s, "write [\"CMD\", "+strconv.Quote(s.Healthcheck.Test[0])+", ...]", at("healthcheck", "test", "0"), "healthcheck.test must begin with CMD, CMD-SHELL or NONE")
	}
}

// amounts checks numbers that are set in two places, or out of range.
func (v *verifier) amounts(s *compose.Service) {
	if !validRestart(s.Restart) {
		v.fault(s, "", at("restart"), "restart of service %q must be one of no, always, unless-stopped, on-failure[:times], not %q", s.Name, s.Restart)
	}
	for _, key := range keysOf(s.StorageOpt) {
		n, err := compose.ParseBytes(s.StorageOpt[key])
		switch {
		case key != "size":
			v.notice(fmt.Sprintf("services.%s.storage_opt.%s is an option of a storage driver that is not here, and has no effect", s.Name, key), "size is known", "services", s.Name, "storage_opt", key)
		case err != nil || n < minStorage:
			v.fault(s, "", at("storage_opt", key), "storage_opt.size of service %q must be 1m or more, not %q", s.Name, s.StorageOpt[key])
		}
	}
	if s.Scale != nil && *s.Scale < 0 {
		v.fault(s, "", at("scale"), "services.%s.scale must be 0 or more", s.Name)
	}
	if s.Replicas() > compose.MaxReplicas {
		keys := at("deploy", "replicas")
		if s.Scale != nil {
			keys = at("scale")
		}
		v.fault(s, "", keys, "service %q has %d replicas; at most %d can run on one machine", s.Name, s.Replicas(), compose.MaxReplicas)
	}
	if n := s.Replicas(); n > 1 && s.ContainerName != "" {
		v.fault(s, "remove container_name, or scale to 1", at("container_name"), "service %q has %d replicas, which cannot share one container_name", s.Name, n)
	}
	d := s.Deploy
	if d == nil {
		return
	}
	if d.Replicas != nil && *d.Replicas < 0 {
		v.fault(s, "", at("deploy", "replicas"), "services.%s.deploy.replicas must be 0 or more", s.Name)
	}
	differ := func(key, other string) {
		v.fault(s, "keep one of the two", at(key), "service %q sets distinct values on %s and deploy.%s", s.Name, key, other)
	}
	if s.Scale != nil && d.Replicas != nil && *s.Scale != *d.Replicas {
		differ("scale", "replicas")
	}
	if l := d.Resources.Limits; l != nil {
		if s.CPUs != 0 && l.CPUs != s.CPUs {
			differ("cpus", "resources.limits.cpus")
		}
		if s.MemLimit != 0 && l.Memory != s.MemLimit {
			differ("mem_limit", "resources.limits.memory")
		}
		if s.PidsLimit != 0 && l.Pids != s.PidsLimit {
			differ("pids_limit", "resources.limits.pids")
		}
	}
	if r := d.Resources.Reservations; r != nil && s.MemReservation != 0 && r.Memory != s.MemReservation {
		differ("mem_reservation", "resources.reservations.memory")
	}
}

// minStorage is the least that a file system needs for itself.
const minStorage = 1 << 20

func validRestart(s string) bool {
	switch s {
	case "", "no", "always", "unless-stopped", "on-failure":
		return true
	}
	times, ok := strings.CutPrefix(s, "on-failure:")
	n, err := strconv.Atoi(times)
	return ok && err == nil && n >= 0
}

// hostnames checks what goes into /etc/hosts and to the kernel as it is.
func (v *verifier) hostnames(s *compose.Service) {
	for _, h := range []struct{ key, name string }{{"hostname", s.Hostname}, {"domainname", s.DomainName}} {
		switch bad := strings.IndexFunc(h.name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' || r == '#' }); {
		case bad >= 0:
			v.fault(s, "letters, digits, - and . make a name", at(h.key), "service %q: %s %q has a character that names of hosts cannot have", s.Name, h.key, h.name)
		case len(h.name) > 64:
			v.fault(s, "", at(h.key), "service %q: %s %q is longer than 64 bytes, the kernel's limit", s.Name, h.key, h.name)
		}
	}
}

// mounts checks where things are mounted.
func (v *verifier) mounts(s *compose.Service) {
	taken := map[string]string{}
	mount := func(target string, keys ...string) {
		where := strings.Join(keys, ".")
		if other, ok := taken[target]; ok {
			v.fault(s, "", keys, "service %q mounts %s twice: in %s and in %s", s.Name, target, other, where)
		}
		taken[target] = where
		if !path.IsAbs(target) && !(len(target) > 1 && target[1] == ':') {
			v.fault(s, "a path in the container begins with /", keys, "service %q: mount target %q is not absolute", s.Name, target)
		}
	}
	for i, t := range s.Tmpfs {
		target, _, _ := strings.Cut(t, ":")
		mount(target, "tmpfs", strconv.Itoa(i))
	}
	for i, m := range s.Volumes {
		n := strconv.Itoa(i)
		switch {
		case m.Target == "":
			v.fault(s, "add target: the path in the container", at("volumes", n), "volumes.%s of service %q has no target", n, s.Name)
			continue
		case m.Source == "" && (m.Type == compose.MountBind || m.Type == compose.MountImage):
			v.fault(s, "add source", at("volumes", n), "volumes.%s of service %q is of type %s and has no source", n, s.Name, m.Type)
		}
		mount(m.Target, "volumes", n)
		v.mount(s, m, n)
	}
	if s.Develop == nil {
		return
	}
	for i, w := range s.Develop.Watch {
		if w.Target == "" && w.Action != "rebuild" && w.Action != "restart" {
			v.fault(s, "", at("develop", "watch", strconv.Itoa(i)), "services.%s.develop.watch: action %s needs a target", s.Name, w.Action)
		}
	}
}

// mount checks one mount for what cannot be carried out.
func (v *verifier) mount(s *compose.Service, m compose.Mount, n string) {
	if m.Target == "/" {
		v.fault(s, "the root comes from the image", at("volumes", n), "volumes.%s of service %q covers the whole file system", n, s.Name)
	}
	if m.Type == compose.MountTmpfs && m.Source != "" {
		v.fault(s, "remove source", at("volumes", n, "source"), "volumes.%s of service %q is of type tmpfs, which has no source", n, s.Name)
	}
	for _, o := range []struct {
		key string
		set bool
	}{{"bind", m.Bind != nil && m.Type != compose.MountBind}, {"tmpfs", m.Tmpfs != nil && m.Type != compose.MountTmpfs}, {"image", m.Image != nil && m.Type != compose.MountImage}} {
		if o.set && v.p.Positions[compose.Path("services", s.Name, "volumes", n, o.key)].IsValid() {
			v.notice(fmt.Sprintf("volumes.%s of service %q is of type %s: its %s options have no effect", n, s.Name, m.Type, o.key), "", "services", s.Name, "volumes", n, o.key)
		}
	}
	for _, sub := range [][2]string{{"volume", subpathOf(m.Volume)}, {"image", imageSubpath(m.Image)}} {
		if sub[1] == "" {
			continue
		}
		if clean := path.Clean(sub[1]); path.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../") {
			v.fault(s, "a path relative to the top, without ..", at("volumes", n, sub[0], "subpath"), "volumes.%s of service %q: subpath %s leaves the %s", n, s.Name, quote(sub[1]), sub[0])
		}
	}
}

func subpathOf(o *compose.MountVolumeOpts) string {
	if o == nil {
		return ""
	}
	return o.Subpath
}

func imageSubpath(o *compose.MountImageOpts) string {
	if o == nil {
		return ""
	}
	return o.Subpath
}

// requests checks what is asked of devices.
func (v *verifier) requests(s *compose.Service) {
	both := func(r compose.DeviceRequest, keys ...string) {
		if r.Count != 0 && r.IDs != nil {
			v.fault(s, "keep one of the two", keys, "service %q sets both count and device_ids", s.Name)
		}
	}
	for i, r := range s.GPUs {
		both(r, "gpus", strconv.Itoa(i))
	}
	if s.Deploy != nil && s.Deploy.Resources.Reservations != nil {
		for i, r := range s.Deploy.Resources.Reservations.Devices {
			both(r, "deploy", "resources", "reservations", "devices", strconv.Itoa(i))
		}
	}
}
