//go:build !linux

package snapshot

import (
	"errors"
	"os"

	"devstack/engine/image"
)

func prepareRoot(string, string, string) error { return errors.ErrUnsupported }

func bound(string, int64) error { return errors.ErrUnsupported }

func unbound(string) error { return nil }

func writableDir(dir string) (string, error) { return dir, nil }

// CanBound fails: there are no loop devices here.
func CanBound() error { return errors.ErrUnsupported }

func submountsOf(string, string) ([]string, error) { return nil, errors.ErrUnsupported }

// View mounts an image; only Linux can.
func View(string, image.Image) (*os.File, error) { return nil, errors.ErrUnsupported }

// ViewSnapshot mounts a snapshot; only Linux can.
func ViewSnapshot(Snapshot, bool) (*os.File, error) { return nil, errors.ErrUnsupported }

// Sub fails: there are no overlays here.
func Sub(string, image.Image, string) ([]string, error) { return nil, errors.ErrUnsupported }
