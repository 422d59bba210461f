package image

import (
	"maps"
	"slices"

	"devstack/compose"
)

// Built are the names that builds of a project give to images, spelled in
// full, and the services that are built: such an image comes from no registry.
func Built(p *compose.Project) map[string]string {
	out := map[string]string{}
	names := p.BuiltImages()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if r, err := ParseReference(name); err == nil {
			out[r.String()] = names[name]
		}
	}
	return out
}
