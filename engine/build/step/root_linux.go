package step

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"devstack/engine/image/layer"
)

// Root is what a step works on: layers, the topmost first, and where its own
// changes go. Without Upper it is read-only.
type Root struct {
	Lower       []string
	Upper, Work string
}

// Scratch makes the directories of a step's changes beneath dir, which must be
// on the filesystem of the layers.
func Scratch(dir string) (upper, work string, err error) {
	upper, work = filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	for _, d := range []string{upper, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return "", "", fmt.Errorf("make root of step: %w", err)
		}
	}
	// The mode of upper is the mode of "/".
	return upper, work, os.Chmod(upper, 0o755)
}

// Mount merges the root. The mount is detached: it is in no mount table, and
// gone when the file and the container that uses it are. Layers must come out
// as trees and whiteouts alone, whatever the module's defaults are.
func (r Root) Mount() (*os.File, error) {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("mount root of step: %w", os.NewSyscallError("fsopen", err))
	}
	defer unix.Close(fs)
	if err := r.configure(fs); err != nil {
		return nil, fmt.Errorf("mount root of step: %w", err)
	}
	attr := 0
	if r.Upper == "" {
		attr = unix.MOUNT_ATTR_RDONLY
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attr)
	if err != nil {
		return nil, fmt.Errorf("mount root of step: %w", os.NewSyscallError("fsmount", err))
	}
	return os.NewFile(uintptr(fd), "root"), nil
}

func (r Root) configure(fs int) error {
	for _, dir := range r.Lower {
		if err := setDir(fs, "lowerdir+", dir); err != nil {
			return err
		}
	}
	options := [][2]string{{"source", "devstack"}, {"redirect_dir", "nofollow"}, {"metacopy", "off"}, {"index", "off"}}
	for _, o := range options {
		if err := unix.FsconfigSetString(fs, o[0], o[1]); err != nil {
			return fmt.Errorf("%s: %w%s", o[0], err, kernelLog(fs))
		}
	}
	if r.Upper != "" {
		if err := setDir(fs, "upperdir", r.Upper); err != nil {
			return err
		}
		if err := setDir(fs, "workdir", r.Work); err != nil {
			return err
		}
		// Nothing of an interrupted step is used again: syncing it is in vain.
		if err := unix.FsconfigSetFlag(fs, "volatile"); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("volatile: %w%s", err, kernelLog(fs))
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return fmt.Errorf("create: %w%s", err, kernelLog(fs))
	}
	return nil
}

// setDir passes a path, by descriptor if it is longer than the kernel takes.
func setDir(fs int, key, dir string) error {
	if len(dir) > 255 {
		f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		dir = fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	}
	if err := unix.FsconfigSetString(fs, key, dir); err != nil {
		return fmt.Errorf("%s %s: %w%s", key, dir, err, kernelLog(fs))
	}
	return nil
}

// kernelLog is what the kernel has to say about a mount that failed.
func kernelLog(fs int) string {
	buf := make([]byte, 512)
	n, err := unix.Read(fs, buf)
	if err != nil || n <= 0 {
		return ""
	}
	return " (" + strings.TrimSpace(string(buf[:n])) + ")"
}

// Listable reopens the descriptor of a mount, which can only be passed on, as
// a directory that can be read. It keeps the mount alive, too.
func Listable(mount *os.File) (*os.File, error) {
	fd, err := unix.Openat(int(mount.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open root of step: %w", err)
	}
	return os.NewFile(uintptr(fd), "root"), nil
}

// openInside opens a path of a root as it is inside: links are resolved there,
// and ".." ends at its top.
func openInside(root *os.File, path string, flags uint64) (*os.File, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	for {
		fd, err := unix.Openat2(int(root.Fd()), path, &how)
		if err == unix.EINTR || err == unix.EAGAIN {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		return os.NewFile(uintptr(fd), path), nil
	}
}

// OpenPath opens a file or directory inside a root, to be mounted.
func OpenPath(root *os.File, path string) (*os.File, error) {
	if path == "" || path == "/" {
		return openInside(root, "/", unix.O_PATH)
	}
	return openInside(root, path, unix.O_PATH)
}

// Remove removes a step's directory with all that is in it.
func Remove(dir string) error { return layer.RemoveAll(dir) }
