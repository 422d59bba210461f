//go:build !linux

package copy

import (
	"context"
	"errors"
	"os"
)

// Into fails: only Linux has builds.
func Into(context.Context, *os.File, Ops, Options) error { return errors.ErrUnsupported }
