package plan

import (
	"cmp"
	"slices"

	"devstack/engine/api"
)

// Observed is what is there.
type Observed struct {
	Networks   map[string]string // real name -> config hash
	Volumes    map[string]bool   // real name
	Containers []Container       // of the project, one-off containers left out
}

// Stopping is the state of a container that still runs but was told to end.
const Stopping = "stopping"

// Container is one container as it is found.
type Container struct {
	ID          string
	Name        string
	Service     string
	Number      int
	State       string // api.State*
	ConfigHash  string
	ImageDigest string
	Rootless    bool // it runs, but somebody has removed its files
}

func (c *Container) running() bool {
	return c.State == api.StateRunning || c.State == api.StateRestarting || c.State == api.StatePaused
}

// of are the containers of one service by number.
func (o *Observed) of(service string) []Container {
	var out []Container
	for _, c := range o.Containers {
		if c.Service == service {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b Container) int { return cmp.Compare(a.Number, b.Number) })
	return out
}
