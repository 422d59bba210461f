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
	if len(dirs) == 1 { // overlayfs wants two, and there is nothing to merge
		return bindView(dirs[0])
	}
	return mountView(Snapshot{Lower: dirs}, false)
}

// ViewSnapshot mounts the tree of a container that does not run, writable if
// asked. A running one has its own mount; two over one upper directory are
// not allowed.
func ViewSnapshot(s Snapshot, writable bool) (*os.File, error) { return mountView(s, writable) }

// bindView is a read-only, detached mount of a directory of the host.
func bindView(dir string) (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("view %s: %w", dir, os.NewSyscallError("open_tree", err))
	}
	defer unix.Close(fd)
	attr := unix.MountAttr{Attr_set: viewAttrs | unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return nil, fmt.Errorf("view %s: %w", dir, os.NewSyscallError("mount_setattr", err))
	}
	return listable(fd)
}

const viewAttrs = unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC

// listable reopens the O_PATH descriptor of a mount for reading; the mount
// lives as long as something in it is open.
func listable(mount int) (*os.File, error) {
	dir, err := unix.Openat(mount, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open view: %w", os.NewSyscallError("openat", err))
	}
	return os.NewFile(uintptr(dir), "view"), nil
}

func mountView(s Snapshot, writable bool) (*os.File, error) {
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
	attr := viewAttrs
	if !writable {
		attr |= unix.MOUNT_ATTR_RDONLY
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attr)
	if err != nil {
		return nil, fmt.Errorf("mount view: %w", os.NewSyscallError("fsmount", err))
	}
	defer unix.Close(fd)
	return listable(fd)
}

func configure(fs int, s Snapshot) error {
	if err := lowerDirs(fs, s.Lower); err != nil {
		return err
	}
	options := [][2]string{{"source", "overlay"}}
	if s.Upper != "" {
		// With index=on a directory above upper may not be a lower: rootfs:/.
		options = append(options, [2]string{"index", "off"}, [2]string{"upperdir", s.Upper}, [2]string{"workdir", s.Work})
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
