package snapshot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"devstack/engine/image"
	"devstack/engine/image/layer"
)

// Snapshot says what a container's root is made of.
type Snapshot struct {
	Lower []string // the topmost first
	Upper string
	Work  string
	// Submounts are mounts of the host beneath Lower's last directory that
	// belong to the view of it, parents first. Only rootfs: images have any.
	Submounts []string
}

const trashName = ".trash"

func containerDir(dataRoot, id string) (string, error) {
	if id == "" || strings.ContainsAny(id, "/\x00") || strings.HasPrefix(id, ".") {
		return "", fmt.Errorf("container id %q is not valid", id)
	}
	return filepath.Join(dataRoot, "containers", id), nil
}

// Prepare makes the writable directories of a new container; size bounds what
// it can write, in bytes, unless it is 0. One that exists already keeps what it
// holds.
func Prepare(dataRoot, id string, img image.Image, size int64) (Snapshot, error) {
	dir, err := containerDir(dataRoot, id)
	if err != nil {
		return Snapshot{}, err
	}
	if err := prepare(dataRoot, dir, img, size); err != nil {
		return Snapshot{}, fmt.Errorf("prepare snapshot: %w", err)
	}
	return Open(dataRoot, id, img)
}

func prepare(dataRoot, dir string, img image.Image, size int64) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, os.ErrNotExist) {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if size > 0 {
		if err := bound(dir, size); err != nil {
			return err
		}
	}
	own, err := writableDir(dir)
	if err == nil {
		err = makeDirs(own)
	}
	if err == nil && img.Root != "" {
		err = prepareRoot(dataRoot, img.Root, filepath.Join(own, "upper"))
	}
	return err
}

// Upper is where a container's own files are, as far as it has any.
func Upper(dataRoot, id string) string {
	dir, err := containerDir(dataRoot, id)
	if err == nil {
		dir, err = writableDir(dir)
	}
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "upper")
}

func makeDirs(dir string) error {
	// The mode of upper is the mode of the container's "/".
	upper := filepath.Join(dir, "upper")
	err := os.Mkdir(upper, 0o755)
	if err == nil {
		err = os.Chmod(upper, 0o755)
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, "work"), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// Open describes the snapshot of an existing container.
func Open(dataRoot, id string, img image.Image) (Snapshot, error) {
	dir, err := containerDir(dataRoot, id)
	if err != nil {
		return Snapshot{}, err
	}
	own, err := writableDir(dir)
	if err != nil {
		return Snapshot{}, fmt.Errorf("open snapshot of container %.12s: %w", id, err)
	}
	s := Snapshot{Upper: filepath.Join(own, "upper"), Work: filepath.Join(own, "work")}
	if _, err := os.Lstat(s.Upper); err != nil {
		return Snapshot{}, fmt.Errorf("open snapshot of container %.12s: %w", id, err)
	}
	s.Lower, s.Submounts, err = lowers(dataRoot, img)
	return s, err
}

// lowers are the read-only directories of an image, the topmost first.
func lowers(dataRoot string, img image.Image) (dirs, submounts []string, err error) {
	if img.Root != "" {
		submounts, err = submountsOf(img.Root, dataRoot)
		return []string{img.Root}, submounts, err
	}
	seen := make(map[string]bool, len(img.Layers))
	for i := len(img.Layers) - 1; i >= 0; i-- {
		dir := img.Layers[i].Dir
		if !seen[dir] { // overlayfs refuses one directory twice; the upper one decides
			seen[dir] = true
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) == 0 { // FROM scratch with nothing in it
		empty, err := emptyLayer(dataRoot)
		return []string{empty}, nil, err
	}
	return dirs, nil, nil
}

func emptyLayer(dataRoot string) (string, error) {
	dir := filepath.Join(dataRoot, "layers", "empty")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make empty layer: %w", err)
	}
	return dir, nil
}

// Remove removes a container's upper and work directories, and its directory
// if nothing else is in it. They lose their names first, so a crash leaves
// trash for Sweep rather than half a snapshot. It is no fault if they are gone.
func Remove(dataRoot, id string) error {
	dir, err := containerDir(dataRoot, id)
	if err != nil {
		return err
	}
	var errs []error
	for _, part := range []string{"upper", "work"} {
		trash := filepath.Join(dataRoot, "containers", trashName, id+"."+part)
		err := os.Rename(filepath.Join(dir, part), trash)
		if errors.Is(err, os.ErrNotExist) {
			if _, gone := os.Lstat(filepath.Join(dir, part)); gone != nil {
				continue
			}
			if err = os.MkdirAll(filepath.Dir(trash), 0o700); err == nil {
				err = os.Rename(filepath.Join(dir, part), trash)
			}
		}
		if errors.Is(err, os.ErrExist) { // remains of an attempt that failed
			if err = layer.RemoveAll(trash); err == nil {
				err = os.Rename(filepath.Join(dir, part), trash)
			}
		}
		if err == nil {
			err = layer.RemoveAll(trash)
		}
		errs = append(errs, err)
	}
	errs = append(errs, unbound(dir))
	os.Remove(dir) // fails while it holds a log
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove snapshot of container %.12s: %w", id, err)
	}
	return nil
}

// Sweep removes the snapshots of containers that keep does not know, with all
// else in their directories (logs), and what interrupted removals left.
func Sweep(dataRoot string, keep func(id string) bool) error {
	root := filepath.Join(dataRoot, "containers")
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep snapshots: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if id := e.Name(); id != trashName && !keep(id) {
			err := Remove(dataRoot, id)
			if err == nil {
				err = os.RemoveAll(filepath.Join(root, id))
			}
			errs = append(errs, err)
		}
	}
	trash := filepath.Join(root, trashName)
	left, err := os.ReadDir(trash)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, e := range left {
		errs = append(errs, layer.RemoveAll(filepath.Join(trash, e.Name())))
	}
	return errors.Join(errs...)
}
