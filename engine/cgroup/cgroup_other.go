//go:build !linux

package cgroup

import "errors"

// Layout is the host's hierarchies: only Linux has any.
type Layout struct{}

// Probe returns errors.ErrUnsupported.
func Probe() (*Layout, error) { return nil, errors.ErrUnsupported }
