//go:build !linux

package netns

import "errors"

// New is not available on this system.
func New(path string, setup func() error) error { return errors.ErrUnsupported }

// Do is not available on this system.
func Do(path string, fn func() error) error { return errors.ErrUnsupported }

// Remove is not available on this system.
func Remove(path string) error { return errors.ErrUnsupported }

// List is not available on this system.
func List(dir string) ([]string, error) { return nil, errors.ErrUnsupported }
