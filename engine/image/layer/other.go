//go:build !linux

package layer

import (
	"context"
	"errors"
	"io"
	"os"
)

type tree struct{}

func openTree(string) (*tree, error) { return nil, errors.ErrUnsupported }

func (*tree) Close() error                                    { return nil }
func (*tree) dir(string, meta) error                          { return errors.ErrUnsupported }
func (*tree) file(string, meta, io.Reader, bool) error        { return errors.ErrUnsupported }
func (*tree) symlink(string, string, meta) error              { return errors.ErrUnsupported }
func (*tree) link(string, string, meta) error                 { return errors.ErrUnsupported }
func (*tree) node(string, meta, uint32, uint32, uint32) error { return errors.ErrUnsupported }
func (*tree) whiteout(string, meta) error                     { return errors.ErrUnsupported }
func (*tree) opaque(string, meta) error                       { return errors.ErrUnsupported }

// RemoveAll removes a tree; only Linux has trees of layers.
func RemoveAll(path string) error { return os.RemoveAll(path) }

// DiskUsage is what a tree takes on disk, in bytes.
func DiskUsage(context.Context, string) (int64, error) { return 0, errors.ErrUnsupported }
