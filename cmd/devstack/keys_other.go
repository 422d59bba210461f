//go:build !linux

package main

import (
	"errors"
	"io"
)

// keyMode is for where the engine is.
func keyMode(io.Reader) (restore func(), err error) { return nil, errors.ErrUnsupported }
