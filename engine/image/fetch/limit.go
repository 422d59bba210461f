package fetch

import (
	"fmt"

	"devstack/compose"
	"devstack/engine/image/layer"
	"devstack/engine/image/registry"
	"devstack/engine/image/store"
)

// LimitVariable bounds what one layer, or one archive in a build, may unpack
// to: a size as in project files. It belongs to the environment of whoever
// asks.
const LimitVariable = "DEVSTACK_LAYER_LIMIT"

// LimitsOf are the limits that the environment of a client sets; a nil one
// sets none.
func LimitsOf(c *registry.Client) (layer.Limits, error) {
	if c == nil || c.Getenv(LimitVariable) == "" {
		return layer.Limits{}, nil
	}
	n, err := compose.ParseBytes(c.Getenv(LimitVariable))
	if err != nil || n <= 0 {
		return layer.Limits{}, fmt.Errorf("%s=%s is no size: want one such as 20g", LimitVariable, c.Getenv(LimitVariable))
	}
	return layer.Limits{Bytes: int64(n)}, nil
}

// bound completes the limits.
func (o *Options) bound(s *store.Store) error {
	if o.Limits.Bytes == 0 {
		l, err := LimitsOf(o.Registry)
		if err != nil {
			return err
		}
		o.Limits.Bytes = l.Bytes
	}
	o.Limits.Memory = s.Memory
	return nil
}
