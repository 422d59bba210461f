package compose

import (
	"cmp"
	"maps"
	"slices"
)

// Project is one resolved set of project files.
type Project struct {
	Name       string                `json:"name"`
	Services   map[string]Service    `json:"services"`
	Networks   map[string]Network    `json:"networks,omitempty"`
	Volumes    map[string]Volume     `json:"volumes,omitempty"`
	Configs    map[string]FileObject `json:"configs,omitempty"`
	Secrets    map[string]FileObject `json:"secrets,omitempty"`
	Models     map[string]Model      `json:"models,omitempty"`
	Extensions Extensions            `json:"#extensions,omitempty"`

	// WorkingDir is the absolute directory relative paths were resolved in.
	WorkingDir string `json:"-"`
	// Files are the absolute paths of the project files, in order.
	Files []string `json:"-"`
	// Profiles are the active profiles.
	Profiles []string `json:"-"`
	// Disabled are services that the active profiles leave out.
	Disabled map[string]Service `json:"-"`
	// Environment is what interpolation saw.
	Environment map[string]string `json:"-"`
	// Positions tells where each value was set.
	Positions Positions `json:"-"`
}

// Pos gives the place that set the value at path (see Path), or the place of
// its nearest enclosing value.
func (p *Project) Pos(keys ...string) Pos { return p.Positions.Find(Path(keys...)) }

// ServiceNames are the names of the enabled services, sorted.
func (p *Project) ServiceNames() []string { return slices.Sorted(maps.Keys(p.Services)) }

// Selection is what an operation on services is about: these with all that they
// depend on; without any, the whole project.
func (p *Project) Selection(services []string) []string {
	if len(services) == 0 {
		return p.ServiceNames()
	}
	return p.Closure(services)
}

// Closure adds to services all that they depend on. The result is sorted.
func (p *Project) Closure(services []string) []string {
	seen := make(map[string]bool)
	var visit func(string)
	visit = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		for on := range p.Services[name].DependsOn {
			visit(on)
		}
	}
	for _, s := range services {
		visit(s)
	}
	return slices.Sorted(maps.Keys(seen))
}

// ImageName is what a service's image is called: by the service's own name for
// it, or PROJECT-SERVICE.
func ImageName(project, service string, s *Service) string {
	return cmp.Or(s.Image, project+"-"+service)
}

// BuiltImages maps every name of an image that builds of the project give to
// the service that is built, also where that is disabled.
func (p *Project) BuiltImages() map[string]string {
	out := map[string]string{}
	for _, services := range []map[string]Service{p.Disabled, p.Services} {
		for _, name := range slices.Sorted(maps.Keys(services)) {
			s := services[name]
			if s.Build == nil {
				continue
			}
			out[ImageName(p.Name, name, &s)] = name
			for _, tag := range s.Build.Tags {
				out[tag] = name
			}
		}
	}
	return out
}

// Network is a top-level network.
type Network struct {
	Name       string            `json:"name,omitempty"` // the real name: PROJECT_KEY unless set
	Driver     string            `json:"driver,omitempty"`
	DriverOpts map[string]string `json:"driver_opts,omitempty"`
	IPAM       IPAM              `json:"ipam"`
	External   bool              `json:"external,omitempty"`
	Internal   bool              `json:"internal,omitempty"`
	Attachable bool              `json:"attachable,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	EnableIPv4 *bool             `json:"enable_ipv4,omitempty"`
	EnableIPv6 *bool             `json:"enable_ipv6,omitempty"`
	Extensions Extensions        `json:"#extensions,omitempty"`
}

// IPAM is the address plan of a network.
type IPAM struct {
	Driver     string            `json:"driver,omitempty"`
	Config     []IPAMPool        `json:"config,omitempty"`
	Options    map[string]string `json:"options,omitempty"`
	Extensions Extensions        `json:"#extensions,omitempty"`
}

// IPAMPool is one subnet of a network; addresses and prefixes in text form.
type IPAMPool struct {
	Subnet       string            `json:"subnet,omitempty"`
	Gateway      string            `json:"gateway,omitempty"`
	IPRange      string            `json:"ip_range,omitempty"`
	AuxAddresses map[string]string `json:"aux_addresses,omitempty"`
	Extensions   Extensions        `json:"#extensions,omitempty"`
}

// Volume is a top-level named volume.
type Volume struct {
	Name       string            `json:"name,omitempty"` // the real name: PROJECT_KEY unless set
	Driver     string            `json:"driver,omitempty"`
	DriverOpts map[string]string `json:"driver_opts,omitempty"`
	External   bool              `json:"external,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	Extensions Extensions        `json:"#extensions,omitempty"`
}

// FileObject is a top-level config or secret.
type FileObject struct {
	Name           string            `json:"name,omitempty"`
	File           string            `json:"file,omitempty"`
	Environment    string            `json:"environment,omitempty"`
	Content        string            `json:"content,omitempty"`
	External       bool              `json:"external,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`
	Driver         string            `json:"driver,omitempty"`
	DriverOpts     map[string]string `json:"driver_opts,omitempty"`
	TemplateDriver string            `json:"template_driver,omitempty"`
	Extensions     Extensions        `json:"#extensions,omitempty"`
}

// Model is a top-level AI model.
type Model struct {
	Name         string     `json:"name,omitempty"`
	Model        string     `json:"model,omitempty"`
	ContextSize  int        `json:"context_size,omitempty"`
	RuntimeFlags []string   `json:"runtime_flags,omitempty"`
	Extensions   Extensions `json:"#extensions,omitempty"`
}
