//go:build !linux

package store

import (
	"errors"
	"os"
)

func bootID() string { return "" }

func syncFileSystem(string) error { return errors.ErrUnsupported }

func flock(*os.File, bool, bool) (bool, error) { return false, errors.ErrUnsupported }

func dupFile(*os.File) (*os.File, error) { return nil, errors.ErrUnsupported }
