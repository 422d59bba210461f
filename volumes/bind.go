package volumes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// BindSource checks that path can be the source of a bind mount. With create
// (create_host_path) a directory is made where nothing is.
func BindSource(path string, create bool) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("bind source %q is not an absolute path", path)
	}
	_, err := os.Stat(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return bindError(path, err)
	}
	if target, e := os.Readlink(path); e == nil {
		return fmt.Errorf("bind source %q is a symbolic link to %q, which does not exist", path, target)
	}
	if !create {
		return fmt.Errorf("bind source %q does not exist", path)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("create bind source %q: %w", path, cause(err))
	}
	return nil
}

func bindError(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("bind source %q: %w", path, cause(err))
}

// cause is the error below a PathError, whose text would repeat the path.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
