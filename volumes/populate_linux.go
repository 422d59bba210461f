package volumes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Names of the two stages of a population, see Populate.
const (
	fillName     = "_fill"
	fillDoneName = "_fill.done"
	devicePrefix = ".devstack" // the stages' place inside the device of a bind volume
)

// Populate gives an empty volume the content, owner and mode that path has in
// the image whose merged root is root. A volume that holds anything is left as
// it is, and so is one for whose path the image has no directory.
//
// Containers may have the volume mounted already, so _data itself is never
// replaced. The copy is made beside it, and a rename ends that stage:
//
//	(empty) -> _fill (copying) -> _fill.done (moving into _data) -> (filled)
//
// A crash in the first stage means copying again, one in the second going on
// with the moves, by the next call.
func (s *Store) Populate(ctx context.Context, v Volume, root *os.File, path string) error {
	data := v.dataDir()
	if data == "" {
		return nil
	}
	defer s.lock(v.Name)()
	if err := s.populate(ctx, v, data, root, path); err != nil {
		return fmt.Errorf("populate volume %q from the image's %s: %w", v.Name, path, err)
	}
	return nil
}

// dataDir is the directory that population fills, "" for what only a mount
// reaches (nfs, tmpfs).
func (v Volume) dataDir() string {
	if len(v.DriverOpts) == 0 {
		return v.Path
	}
	return v.device()
}

// Unfilled reports whether Populate would look at the image at all: callers
// need not mount it otherwise.
func (s *Store) Unfilled(v Volume) (bool, error) {
	data := v.dataDir()
	if data == "" {
		return false, nil
	}
	defer s.lock(v.Name)()
	fill, done := s.stages(v, data)
	if _, err := os.Lstat(done); err == nil {
		return true, nil
	}
	empty, err := isEmpty(data, fill)
	if err != nil {
		return false, fmt.Errorf("look into volume %q: %w", v.Name, err)
	}
	return empty, nil
}

// stages are the paths of the two stages. A device may be on another file
// system, which rename cannot reach, so its stages are inside it.
func (s *Store) stages(v Volume, data string) (fill, done string) {
	stage := filepath.Join(s.dir, v.Name)
	if v.device() != "" {
		stage = filepath.Join(data, devicePrefix)
		return stage + fillName, stage + fillDoneName
	}
	return filepath.Join(stage, fillName), filepath.Join(stage, fillDoneName)
}

func (s *Store) populate(ctx context.Context, v Volume, data string, root *os.File, path string) error {
	fill, done := s.stages(v, data)
	switch _, err := os.Lstat(done); {
	case err == nil:
		return settle(done, data)
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	empty, err := isEmpty(data, fill)
	if err != nil || !empty {
		return err
	}
	src, err := openInRoot(int(root.Fd()), path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	source := os.NewFile(uintptr(src), path)
	defer source.Close()

	if err := deletePath(ctx, fill); err != nil {
		return err
	}
	if err := os.Mkdir(fill, 0o700); err != nil {
		return err
	}
	if err := copyTree(ctx, source, fill); err != nil {
		return errors.Join(err, deletePath(context.WithoutCancel(ctx), fill))
	}
	if err := os.Rename(fill, done); err != nil {
		return err
	}
	return settle(done, data)
}

// settle moves everything in done into data, gives data the attributes of
// done, and removes done. It can be interrupted and called again. A name that
// a container has made meanwhile stays the container's.
func settle(done, data string) error {
	src, err := os.Open(done)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Open(data)
	if err != nil {
		return err
	}
	defer dst.Close()
	st, err := statFd(src)
	if err != nil {
		return err
	}
	names, err := src.Readdirnames(-1)
	if err != nil {
		return err
	}
	from, to := int(src.Fd()), int(dst.Fd())
	for _, name := range names {
		err := unix.Renameat2(from, name, to, name, unix.RENAME_NOREPLACE)
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("move %s: %w", name, err)
		}
	}
	if err := copyAttributes(src, dst, st); err != nil {
		return err
	}
	if err := deletePath(context.Background(), done); err != nil {
		return err
	}
	// Inside a device's directory that deletion was a change of it.
	return unix.UtimesNanoAt(unix.AT_FDCWD, data, []unix.Timespec{st.Atim, st.Mtim}, 0)
}

// isEmpty reports whether the directory holds nothing but, perhaps, the path fill.
func isEmpty(dir, fill string) (bool, error) {
	f, err := os.Open(dir)
	if err != nil {
		return false, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return false, err
	}
	for _, n := range names {
		if filepath.Join(dir, n) != fill {
			return false, nil
		}
	}
	return true, nil
}

func deletePath(ctx context.Context, path string) error {
	parent, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer parent.Close()
	return deleteAt(ctx, int(parent.Fd()), filepath.Base(path), path)
}
