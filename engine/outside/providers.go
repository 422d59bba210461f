package outside

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"devstack/compose"
	"devstack/compose/graph"
	"devstack/engine/api"
)

// Providers are those of the services that have a provider, dependencies first.
func Providers(p *compose.Project, services []string) ([]string, error) {
	if !slices.ContainsFunc(services, func(n string) bool { return p.Services[n].Provider != nil }) {
		return nil, nil
	}
	g, err := graph.New(p)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(g.Order(), func(n string) bool {
		return p.Services[n].Provider == nil || !slices.Contains(services, n)
	}), nil
}

// Inject gives what a provider has set to the services that depend on its one.
func Inject(p *compose.Project, service string, vars []api.ProvidedVariable) {
	prefixes := []string{strings.ToUpper(service) + "_"}
	if strings.Contains(service, "-") { // no shell can name it otherwise
		prefixes = append(prefixes, strings.ReplaceAll(prefixes[0], "-", "_"))
	}
	for name, s := range p.Services {
		if _, ok := s.DependsOn[service]; !ok {
			continue
		}
		s.Environment = environment(s)
		for _, v := range vars {
			if v.Raw {
				s.Environment[v.Key] = &v.Value
				continue
			}
			for _, prefix := range prefixes {
				s.Environment[prefix+v.Key] = &v.Value
			}
		}
		p.Services[name] = s
	}
}

// WithoutProviders takes services with a provider out of the project, and out of
// what others depend on: what is left is the engine's.
func WithoutProviders(p *compose.Project) {
	gone := map[string]bool{}
	maps.DeleteFunc(p.Services, func(name string, s compose.Service) bool {
		gone[name] = s.Provider != nil
		return gone[name]
	})
	for name, s := range p.Services {
		s.DependsOn = maps.Clone(s.DependsOn)
		maps.DeleteFunc(s.DependsOn, func(on string, _ compose.Dependency) bool { return gone[on] })
		p.Services[name] = s
	}
}

// recall injects what providers have set when they were asked last. A provider
// that was not, or not for this, is an *api.Error: only clients ask.
func recall(p *compose.Project, services []string, known map[string]api.Provided) error {
	names, err := Providers(p, services)
	if err != nil {
		return err
	}
	for _, name := range names {
		was, ok := known[name]
		is := p.Services[name].Provider
		if !ok || was.Provider.Type != is.Type || !maps.EqualFunc(was.Provider.Options, is.Options, slices.Equal) {
			return &api.Error{
				Service: name, Message: fmt.Sprintf("its provider %s has to be asked anew", is.Type),
				Hint: "`devstack up` does", Path: compose.Path("services", name, "provider"),
			}
		}
		Inject(p, name, was.Variables)
	}
	WithoutProviders(p)
	return nil
}
