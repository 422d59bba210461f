package load

import (
	"slices"

	"devstack/compose"
)

// selectProfiles sets aside the services that the active profiles leave out.
// A service named on the command line brings its profiles with it.
func (ld *loader) selectProfiles(p *compose.Project) {
	active := ld.activeProfiles()
	for _, name := range ld.opts.Services {
		if s, ok := p.Services[name]; ok && !enabled(&s, active) {
			active = append(active, s.Profiles...)
		}
	}
	p.Profiles = active
	for name, s := range p.Services {
		if enabled(&s, active) {
			continue
		}
		if p.Disabled == nil {
			p.Disabled = map[string]compose.Service{}
		}
		p.Disabled[name] = s
		delete(p.Services, name)
	}
}

func enabled(s *compose.Service, active []string) bool {
	if len(s.Profiles) == 0 || slices.Contains(active, "*") {
		return true
	}
	return slices.ContainsFunc(s.Profiles, func(p string) bool { return slices.Contains(active, p) })
}
