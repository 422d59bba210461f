package snapshot

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"devstack/engine/image"
)

// View mounts the merged tree of an image read-only, detached, and gives its
// root directory. Closing the file ends the mount.
func View(dataRoot string, img image.Image) (*os.File, error) {
	dirs, _, err := lowers(dataRoot, img)
	if err != nil {
		return nil, err
	}
	return mountView(dataRoot, Snapshot{Lower: dirs}, false)
}

// ViewSnapshot mounts the tree of a container that does not run, writable if
// asked. A running one has its own mount; two over one upper directory are
// not allowed.
func ViewSnapshot(dataRoot string, s Snapshot, writable bool) (*os.File, error) {
	if !writable {
		s.Lower, s.Upper, s.Work = append([]string{s.Upper}, s.Lower...), "", ""
	}
	return mountView(dataRoot, s, writable)
}

func mountView(dataRoot string, s Snapshot, writable bool) (*os.File, error) {
	if len(s.Lower) == 1 && s.Upper == "" { // overlayfs wants two
		empty, err := emptyLayer(dataRoot)
		if err != nil {
			return nil, err
		}
		s.Lower = append([]string{empty}, s.Lower...)
	}
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("mount view: %w", os.NewSyscallError("fsopen", err))
	}
	defer unix.Close(fs)
	if err := configure(fs, s); err != nil {
		return nil, fmt.Errorf("mount view: %w", err)
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("mount view: %w%s", os.NewSyscallError("fsconfig", err), complaint(fs))
	}
	attr := unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC
	if !writable {
		attr |= unix.MOUNT_ATTR_RDONLY
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attr)
	if err != nil {
		return nil, fmt.Errorf("mount view: %w", os.NewSyscallError("fsmount", err))
	}
	// fsmount gives an O_PATH descriptor; readers want to list.
	defer unix.Close(fd)
	dir, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open view: %w", os.NewSyscallError("openat", err))
	}
	return os.NewFile(uintptr(dir), "view"), nil
}

func configure(fs int, s Snapshot) error {
	if err := lowerDirs(fs, s.Lower); err != nil {
		return err
	}
	options := [][2]string{{"source", "overlay"}}
	if s.Upper != "" {
		options = append(options, [2]string{"upperdir", s.Upper}, [2]string{"workdir", s.Work})
	}
	for _, o := range options {
		if err := unix.FsconfigSetString(fs, o[0], o[1]); err != nil {
			return fmt.Errorf("set %s: %w%s", o[0], err, complaint(fs))
		}
	}
	return nil
}

// lowerDirs passes the layers one by one where the kernel has lowerdir+ (6.7),
// else all in one string.
func lowerDirs(fs int, dirs []string) error {
	for i, dir := range dirs {
		err := unix.FsconfigSetString(fs, "lowerdir+", dir)
		if err == unix.EINVAL && i == 0 {
			return unix.FsconfigSetString(fs, "lowerdir", joinLowers(dirs))
		}
		if err != nil {
			return fmt.Errorf("add layer %s: %w%s", dir, err, complaint(fs))
		}
	}
	return nil
}

func joinLowers(dirs []string) string {
	escaped := make([]string, len(dirs))
	for i, d := range dirs {
		escaped[i] = strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(d)
	}
	return strings.Join(escaped, ":")
}

// complaint is what the kernel has to say about a mount that failed.
func complaint(fs int) string {
	buf := make([]byte, 1024)
	n, err := unix.Read(fs, buf)
	if err != nil || n <= 0 {
		return ""
	}
	return " (" + strings.TrimSpace(string(buf[:n])) + ")"
}
