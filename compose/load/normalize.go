package load

import (
	"maps"
	"slices"
	"strings"

	"devstack/compose"
)

// normalize sets the defaults and says what is implied: the default network,
// real names, dependencies that follow from links and shared namespaces.
func (ld *loader) normalize(p *compose.Project) {
	usesDefault := false
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s := p.Services[name]
		if s.Provider == nil && s.NetworkMode == "" {
			if len(s.Networks) == 0 {
				s.Networks = map[string]*compose.ServiceNetwork{"default": nil}
			}
			if _, ok := s.Networks["default"]; ok {
				usesDefault = true
			}
		}
		ld.normalizeService(&s)
		p.Services[name] = s
	}
	if _, ok := p.Networks["default"]; !ok && usesDefault {
		if p.Networks == nil {
			p.Networks = map[string]compose.Network{}
		}
		p.Networks["default"] = compose.Network{}
	}
	ld.nameResources(p)
}

func (ld *loader) normalizeService(s *compose.Service) {
	if s.PullPolicy == "if_not_present" {
		s.PullPolicy = "missing"
	}
	if b := s.Build; b != nil {
		if b.Dockerfile == "" && b.DockerfileInline == "" {
			b.Dockerfile = "Dockerfile"
		}
		for k, v := range b.Args {
			if v != nil {
				continue
			}
			if found, ok := ld.lookup(k); ok {
				b.Args[k] = &found
			} else {
				delete(b.Args, k)
			}
		}
	}
	if !ld.opts.NoEnvResolution {
		ld.fillFromEnvironment(s.Environment)
	}
	for i := range s.Secrets {
		if s.Secrets[i].Target == "" {
			s.Secrets[i].Target = "/run/secrets/" + s.Secrets[i].Source
		}
	}
	for i := range s.PreStart {
		s.PreStart[i].Name = s.Name
		ld.fillFromEnvironment(s.PreStart[i].Environment)
	}
	implyDependencies(s)
	if s.Scale != nil && s.Deploy != nil && s.Deploy.Replicas == nil {
		s.Deploy.Replicas = s.Scale
	}
}

// fillFromEnvironment gives variables named without a value theirs.
func (ld *loader) fillFromEnvironment(m compose.Mapping) {
	for k, v := range m {
		if v == nil {
			if found, ok := ld.lookup(k); ok {
				m[k] = &found
			}
		}
	}
}

// implyDependencies adds what links, volumes_from and shared namespaces need.
func implyDependencies(s *compose.Service) {
	imply := func(on string, restart bool) {
		if _, ok := s.DependsOn[on]; ok || on == "" {
			return
		}
		if s.DependsOn == nil {
			s.DependsOn = map[string]compose.Dependency{}
		}
		s.DependsOn[on] = compose.Dependency{Condition: compose.ConditionStarted, Restart: restart, Required: true}
	}
	for _, l := range s.Links {
		target, _, _ := strings.Cut(l, ":")
		imply(target, true)
	}
	for _, mode := range []string{s.NetworkMode, s.IPC, s.PID, s.UTS, s.Cgroup} {
		if target, ok := strings.CutPrefix(mode, "service:"); ok {
			imply(target, true)
		}
	}
	for _, v := range s.VolumesFrom {
		if !strings.HasPrefix(v, "container:") {
			target, _, _ := strings.Cut(v, ":")
			imply(target, false)
		}
	}
}

// nameResources gives networks, volumes, configs and secrets their real names.
func (ld *loader) nameResources(p *compose.Project) {
	real := func(key, name string, external bool) string {
		switch {
		case name != "":
			return name
		case external:
			return key
		}
		return p.Name + "_" + key
	}
	for k, v := range p.Networks {
		v.Name = real(k, v.Name, v.External)
		p.Networks[k] = v
	}
	for k, v := range p.Volumes {
		v.Name = real(k, v.Name, v.External)
		p.Volumes[k] = v
	}
	for _, objects := range []map[string]compose.FileObject{p.Configs, p.Secrets} {
		for k, v := range objects {
			v.Name = real(k, v.Name, v.External)
			if v.Environment != "" {
				if found, ok := ld.lookup(v.Environment); ok {
					v.Content = found
				}
			}
			objects[k] = v
		}
	}
}
