//go:build !linux

package store

import "errors"

func bootID() string { return "" }

func syncFileSystem(string) error { return errors.ErrUnsupported }
