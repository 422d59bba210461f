//go:build !linux

package main

import (
	"context"
	"errors"
)

func serveEngine(context.Context, *env) error { return errors.ErrUnsupported }
