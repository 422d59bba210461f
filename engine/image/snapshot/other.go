//go:build !linux

package snapshot

import (
	"errors"
	"os"

	"devstack/engine/image"
)

func rootLowers(string, string) (dirs, submounts []string, err error) {
	return nil, nil, errors.ErrUnsupported
}

// View mounts an image; only Linux can.
func View(string, image.Image) (*os.File, error) { return nil, errors.ErrUnsupported }

// ViewSnapshot mounts a snapshot; only Linux can.
func ViewSnapshot(string, Snapshot, bool) (*os.File, error) { return nil, errors.ErrUnsupported }
