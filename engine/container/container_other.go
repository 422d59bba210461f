//go:build !linux

package container

import "errors"

// Runtime runs containers: on Linux only.
type Runtime struct{}

// NewRuntime returns errors.ErrUnsupported.
func NewRuntime(Options) (*Runtime, error) { return nil, errors.ErrUnsupported }
