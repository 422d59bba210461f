//go:build !linux

package volumes

import (
	"context"
	"errors"
	"os"
)

func (s *Store) deleteTree(context.Context, string) error { return errors.ErrUnsupported }

// Populate needs Linux.
func (s *Store) Populate(context.Context, Volume, *os.File, string) error {
	return errors.ErrUnsupported
}

// OpenSubpath needs Linux.
func OpenSubpath(string, string) (*os.File, error) { return nil, errors.ErrUnsupported }

// Unfilled needs Linux.
func (s *Store) Unfilled(Volume) (bool, error) { return false, errors.ErrUnsupported }
