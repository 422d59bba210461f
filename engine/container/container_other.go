//go:build !linux

package container

import (
	"errors"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Runtime runs containers: on Linux only.
type Runtime struct{}

// NewRuntime returns errors.ErrUnsupported.
func NewRuntime(Options) (*Runtime, error) { return nil, errors.ErrUnsupported }

// DefaultSeccomp returns errors.ErrUnsupported.
func DefaultSeccomp(*specs.Spec) (*specs.LinuxSeccomp, error) { return nil, errors.ErrUnsupported }

// LoadSeccomp returns errors.ErrUnsupported.
func LoadSeccomp([]byte, *specs.Spec) (*specs.LinuxSeccomp, error) { return nil, errors.ErrUnsupported }
