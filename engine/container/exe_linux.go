package container

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// protectedExe opens this program so that nothing can write to it through the
// descriptor, whoever gets hold of /proc/PID/exe (CVE-2019-5736): the file in a
// read-only overlay of its directory, which shares the page cache and costs
// nothing, or a sealed copy in memory.
func protectedExe(path string) (*os.File, error) {
	if path == "" {
		path = "/proc/self/exe"
	}
	f, err := overlaidExe(path)
	if err == nil {
		return f, nil
	}
	sealed, serr := sealedExe(path)
	if serr != nil {
		return nil, errors.Join(err, serr)
	}
	return sealed, nil
}

func overlaidExe(running string) (*os.File, error) {
	path, err := filepath.EvalSymlinks(running)
	if err != nil {
		return nil, err
	}
	// The file may have been replaced since we started: then this program is
	// not what its path says.
	var want, named unix.Stat_t
	if err := errors.Join(unix.Stat(running, &want), unix.Stat(path, &named)); err != nil {
		return nil, err
	}
	if want.Dev != named.Dev || want.Ino != named.Ino {
		return nil, fmt.Errorf("open own executable: %q has been replaced", path)
	}
	root, err := mountOverlay([]string{filepath.Dir(path)}, "", "")
	if err != nil {
		return nil, err
	}
	defer root.Close()
	fd, err := unix.Openat2(int(root.Fd()), filepath.Base(path), &unix.OpenHow{
		Flags: unix.O_RDONLY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return nil, fmt.Errorf("open own executable: %w", err)
	}
	// Between the look above and the mount it may still have been replaced.
	var opened unix.Stat_t
	if err := unix.Fstat(fd, &opened); err != nil || opened.Ino != want.Ino || opened.Size != want.Size || opened.Mtim != want.Mtim {
		unix.Close(fd)
		return nil, fmt.Errorf("open own executable: %q has been replaced", path)
	}
	return os.NewFile(uintptr(fd), path), nil
}

func sealedExe(path string) (*os.File, error) {
	src, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open own executable: %w", err)
	}
	defer src.Close()
	fd, err := unix.MemfdCreate("devstack", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before 6.3
		fd, err = unix.MemfdCreate("devstack", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, fmt.Errorf("copy own executable: %w", err)
	}
	f := os.NewFile(uintptr(fd), "devstack")
	if _, err := io.Copy(f, src); err != nil {
		f.Close()
		return nil, fmt.Errorf("copy own executable: %w", err)
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		f.Close()
		return nil, fmt.Errorf("seal own executable: %w", err)
	}
	if ro, err := os.Open(fdPath(f)); err == nil { // a file open for writing cannot be executed
		f.Close()
		return ro, nil
	}
	return f, nil
}
