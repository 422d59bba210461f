package outside

import (
	"errors"

	"devstack/compose"
	"devstack/engine/api"
)

// Settle does for a project that was loaded anew what a client did for the one
// before, for the services with all that they depend on (none: all). Providers
// count as having answered as they did then.
func Settle(p *compose.Project, services []string, getenv func(string) string, known map[string]api.Provided) error {
	selected := p.Selection(services)
	show := func(path string) string { return path }
	if err := errors.Join(Models(p, selected), Files(p, selected, getenv, show)); err != nil {
		return err
	}
	return recall(p, selected, known)
}
