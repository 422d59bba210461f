package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A snapshot whose size is bounded has its writable directories in a file
// system of that size: a sparse file, mounted while the container exists.
//
//	DATA/containers/ID/disk.ext4   the file
//	DATA/containers/ID/disk        where it is mounted: upper, work
//
// Quotas of projects (xfs, ext4) would need no mount, but hardly a machine has
// its disk mounted with them. The loop device goes with the mount.
const (
	diskFile = "disk.ext4"
	diskDir  = "disk"
)

// CanBound says why sizes cannot be bounded here: it takes root, loop devices
// and mkfs.ext4.
func CanBound() error {
	if _, err := mkfs(); err != nil {
		return err
	}
	f, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("bound the size of a container: %w (it takes root and loop devices)", err)
	}
	return f.Close()
}

// mkfs finds mkfs.ext4, which is not on everybody's PATH.
func mkfs() (string, error) {
	for _, name := range []string{"mkfs.ext4", "/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("bound the size of a container: there is no mkfs.ext4 (Debian: e2fsprogs)")
}

// bound makes the file system of a container. One that exists is left alone.
func bound(dir string, size int64) error {
	image := filepath.Join(dir, diskFile)
	if _, err := os.Lstat(image); err == nil {
		return nil
	}
	tool, err := mkfs()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(image+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(f.Truncate(size), f.Close())
	if err != nil {
		return err
	}
	cmd := exec.Command(tool, "-q", "-F", "-m", "0", "-E", "root_owner=0:0,nodiscard", image+".new")
	if out, err := cmd.CombinedOutput(); err != nil {
		os.Remove(image + ".new")
		return fmt.Errorf("make a file system of %d bytes: %w: %s", size, err, strings.TrimSpace(string(bytes.ReplaceAll(out, []byte("\n"), []byte(" ")))))
	}
	return os.Rename(image+".new", image)
}

// writableDir is where a container's upper and work directories are.
func writableDir(dir string) (string, error) {
	image, at := filepath.Join(dir, diskFile), filepath.Join(dir, diskDir)
	if _, err := os.Lstat(image); errors.Is(err, os.ErrNotExist) {
		return dir, nil
	}
	if err := os.Mkdir(at, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	if isMounted(at) {
		return at, nil
	}
	if err := mountOnce(image, at); err != nil {
		return "", fmt.Errorf("mount %s: %w", image, err)
	}
	return at, nil
}

// mountOnce mounts unless somebody was faster: a file system that is mounted
// twice, through two loop devices, destroys itself.
func mountOnce(image, at string) error {
	unlock, err := lockImage(image)
	if err != nil {
		return err
	}
	defer unlock()
	if isMounted(at) {
		return nil
	}
	return mountImage(image, at)
}

// lockImage is held while it is decided whether the file is mounted.
func lockImage(image string) (unlock func() error, err error) {
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", image, err)
	}
	return f.Close, nil
}

// isMounted compares the directory's device with its parent's.
func isMounted(dir string) bool {
	var here, above unix.Stat_t
	return unix.Lstat(dir, &here) == nil && unix.Lstat(filepath.Dir(dir), &above) == nil && here.Dev != above.Dev
}

func mountImage(image, at string) error {
	loop, err := attachLoop(image)
	if err != nil {
		return err
	}
	defer loop.Close() // the mount holds it from now on; without one it is free
	return unix.Mount(loop.Name(), at, "ext4", unix.MS_NODEV, "")
}

// attachLoop gives a file a loop device of its own that is free again with its
// last user; another process may take a free one away meanwhile.
func attachLoop(image string) (*os.File, error) {
	backing, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	const tries = 20
	for range tries {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("find a loop device: %w", err)
		}
		loop, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		config := unix.LoopConfig{Fd: uint32(backing.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
		err = unix.IoctlLoopConfigure(int(loop.Fd()), &config)
		if err == nil {
			return loop, nil
		}
		loop.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("set up %s: %w", loop.Name(), err)
		}
	}
	return nil, errors.New("every loop device was taken")
}

// unbound removes a container's own file system, if it has one.
func unbound(dir string) error {
	at := filepath.Join(dir, diskDir)
	unlock, err := lockImage(filepath.Join(dir, diskFile))
	switch {
	case err == nil:
		defer unlock()
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	if _, err := os.Lstat(at); err == nil {
		for isMounted(at) {
			if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
				return fmt.Errorf("unmount %s: %w", at, err)
			}
		}
		if err := os.Remove(at); err != nil {
			return err
		}
	}
	var errs []error
	for _, name := range []string{diskFile, diskFile + ".new"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
