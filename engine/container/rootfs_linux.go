package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"devstack/engine/container/child"

	"golang.org/x/sys/unix"
)

// MountRoot mounts r and returns the detached mount: a directory that can be
// read, written and populated through its descriptor, is in nobody's mount table
// and disappears when the descriptor and the container that uses it are gone.
func MountRoot(r RootFS) (*os.File, error) {
	if r.Dir != "" {
		fd, err := unix.OpenTree(unix.AT_FDCWD, r.Dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			return nil, fmt.Errorf("open root %q: %w", r.Dir, err)
		}
		private := unix.MountAttr{Propagation: unix.MS_PRIVATE}
		if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &private); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("make root %q private: %w", r.Dir, err)
		}
		return os.NewFile(uintptr(fd), r.Dir), nil
	}
	if len(r.Lower) == 0 {
		return nil, errors.New("mount root: no directory and no layers")
	}
	return mountOverlay(r.Lower, r.Upper, r.Work)
}

// mountOverlay uses the new mount API, so that neither the length of all paths
// together nor a colon in one of them matters.
func mountOverlay(lower []string, upper, work string) (*os.File, error) {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("mount overlay: %w", err)
	}
	defer unix.Close(fs)
	fail := func(what string, err error) error {
		return fmt.Errorf("mount overlay: %s: %w%s", what, err, kernelLog(fs))
	}
	if upper == "" && len(lower) == 1 {
		// Without an upper directory an overlay wants two lower ones.
		empty, err := emptyDir()
		if err != nil {
			return nil, err
		}
		defer empty.Close()
		lower = append([]string{}, lower[0], fdPath(empty))
	}
	if what, err := setLower(fs, lower); err != nil {
		return nil, fail(what, err)
	}
	dirs := [][2]string{{"upperdir", upper}, {"workdir", work}}
	if upper == "" {
		dirs = nil
	}
	for _, d := range dirs {
		if err := setDir(fs, d[0], d[1]); err != nil {
			return nil, fail(d[0]+" "+d[1], err)
		}
	}
	if err := unix.FsconfigSetString(fs, "source", "devstack"); err != nil {
		return nil, fail("source", err)
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fail("create", err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, fail("fsmount", err)
	}
	return os.NewFile(uintptr(fd), "overlay"), nil
}

// setLower adds the layers one by one (Linux 6.5), else as one string of
// descriptors, which are short.
func setLower(fs int, lower []string) (what string, err error) {
	for i, dir := range lower {
		err := setDir(fs, "lowerdir+", dir)
		if i == 0 && errors.Is(err, unix.EINVAL) {
			return "lowerdir", lowerString(fs, lower)
		}
		if err != nil {
			return "lowerdir " + dir, err
		}
	}
	return "", nil
}

func lowerString(fs int, lower []string) error {
	var short []string
	for _, dir := range lower {
		f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		short = append(short, fdPath(f))
	}
	return unix.FsconfigSetString(fs, "lowerdir", strings.Join(short, ":"))
}

// setDir passes a path, by descriptor if it is longer than the kernel takes.
func setDir(fs int, key, dir string) error {
	const most = 255
	if len(dir) <= most {
		return unix.FsconfigSetString(fs, key, dir)
	}
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FsconfigSetString(fs, key, fdPath(f))
}

func fdPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// kernelLog returns the kernel's own words about a mount that failed.
func kernelLog(fs int) string {
	buf := make([]byte, 512)
	n, err := unix.Read(fs, buf)
	if err != nil || n == 0 {
		return ""
	}
	return " (" + strings.TrimSpace(string(buf[:n])) + ")"
}

// emptyDir is a detached, empty, read-only tmpfs.
func emptyDir() (*os.File, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("mount tmpfs: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("mount tmpfs: %w", err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("mount tmpfs: %w", err)
	}
	return os.NewFile(uintptr(fd), "empty"), nil
}

// compileSubmounts places each below the root as it is below the lowest layer.
func compileSubmounts(r RootFS) ([]child.Submount, error) {
	if len(r.Submounts) == 0 {
		return nil, nil
	}
	base := r.Dir
	if base == "" {
		base = r.Lower[len(r.Lower)-1]
	}
	var subs []child.Submount
	for _, path := range r.Submounts {
		rel, err := filepath.Rel(base, path)
		if err != nil || rel == "." || rel == ".." || strings.HasPrefix(rel, "../") {
			return nil, fmt.Errorf("attach submount %q: not below %q", path, base)
		}
		subs = append(subs, child.Submount{Source: path, Target: "/" + rel})
	}
	return subs, nil
}
