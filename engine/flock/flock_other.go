//go:build !linux

package flock

import (
	"context"
	"errors"
	"os"
)

func Try(*os.File, bool) (bool, error) { return false, errors.ErrUnsupported }

func Wait(context.Context, *os.File, bool) error { return errors.ErrUnsupported }
