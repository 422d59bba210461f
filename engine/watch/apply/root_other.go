//go:build !linux

package apply

import (
	"context"
	"errors"

	"devstack/engine/watch"
)

// Root is the root of a container.
type Root struct{}

// Open opens the root of a container: /proc/PID/root.
func Open(string) (*Root, error) { return nil, errors.ErrUnsupported }

// Close closes the root.
func (r *Root) Close() error { return nil }

// Apply makes the targets equal to their sources.
func (r *Root) Apply(context.Context, []watch.Op, Options) (Result, error) {
	return Result{}, errors.ErrUnsupported
}
