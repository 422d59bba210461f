//go:build !linux

package commit

import (
	"archive/tar"
	"context"
	"errors"
)

func pack(context.Context, *tar.Writer, string, Options) error { return errors.ErrUnsupported }
