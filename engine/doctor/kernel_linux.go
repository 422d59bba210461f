package doctor

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// apart runs fn on a thread with namespaces of its own. The thread is never
// unlocked, so it ends with fn and takes the namespaces along.
func apart(flags int, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(flags); err != nil {
			done <- os.NewSyscallError("unshare", err)
			return
		}
		done <- fn()
	}()
	return <-done
}

func namespaces() (string, error) {
	kinds := []struct {
		name string
		flag int
	}{
		{"mnt", unix.CLONE_NEWNS},
		{"pid", unix.CLONE_NEWPID},
		{"net", unix.CLONE_NEWNET},
		{"uts", unix.CLONE_NEWUTS},
		{"ipc", unix.CLONE_NEWIPC},
		{"cgroup", unix.CLONE_NEWCGROUP},
	}
	var have []string
	var errs []error
	for _, k := range kinds {
		if _, err := os.Stat("/proc/self/ns/" + k.name); err != nil {
			errs = append(errs, fmt.Errorf("no %s namespace", k.name))
			continue
		}
		if err := apart(k.flag|unix.CLONE_FS, func() error { return nil }); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", k.name, err))
			continue
		}
		have = append(have, k.name)
	}
	return strings.Join(have, " "), errors.Join(errs...)
}

// overlay opens a configuration of the file system, which loads the module.
func overlay() (string, error) {
	fd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err == nil {
		unix.Close(fd)
		return "", nil
	}
	data, _ := os.ReadFile("/proc/filesystems")
	if strings.Contains(string(data), "\toverlay\n") {
		return "listed in /proc/filesystems", nil
	}
	return "", os.NewSyscallError("fsopen overlay", err)
}

func mountAPI() (string, error) {
	for _, call := range []struct {
		name string
		nr   uintptr
	}{
		{"fsopen", unix.SYS_FSOPEN},
		{"fsconfig", unix.SYS_FSCONFIG},
		{"fsmount", unix.SYS_FSMOUNT},
		{"move_mount", unix.SYS_MOVE_MOUNT},
		{"open_tree", unix.SYS_OPEN_TREE},
	} {
		_, _, errno := unix.Syscall6(call.nr, ^uintptr(0), 0, ^uintptr(0), 0, ^uintptr(0), 0)
		if err := answered(errno); err != nil {
			return "", os.NewSyscallError(call.name, err)
		}
	}
	return "fsopen fsconfig fsmount move_mount open_tree", nil
}

func mountSetattr() (string, error) {
	_, _, errno := unix.Syscall6(unix.SYS_MOUNT_SETATTR, ^uintptr(0), 0, 0, 0, 0, 0)
	return "", answered(errno)
}

// idmappedMounts goes by the version: 5.12 has them, 5.19 under overlay.
func idmappedMounts() (string, error) {
	if !atLeast(5, 19) {
		return "", errors.New("not below overlay")
	}
	return mountSetattr()
}

func openat2() (string, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, "/", &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT,
	})
	if err != nil {
		return "", os.NewSyscallError("openat2", err)
	}
	unix.Close(fd)
	return "", nil
}

func closeRange() (string, error) {
	err := unix.CloseRange(^uint(0), ^uint(0), 0) // no descriptor is that high
	return "", os.NewSyscallError("close_range", err)
}

func pidfd() (string, error) {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return "", os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(fd)
	return "", os.NewSyscallError("pidfd_send_signal", unix.PidfdSendSignal(fd, 0, nil, 0))
}

// pidfdInfo asks about this process; see struct pidfd_info in
// include/uapi/linux/pidfd.h. That exit codes are part of it is known from
// the version only.
func pidfdInfo() (string, error) {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return "", os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(fd)
	const size = 64                                 // PIDFD_INFO_SIZE_VER0
	const request = 3<<30 | size<<16 | 0xff<<8 | 11 // _IOWR(PIDFS_IOCTL_MAGIC, 11, struct pidfd_info)
	info := [size / 8]uint64{1 /* PIDFD_INFO_PID */}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&info))); errno != 0 {
		return "", os.NewSyscallError("ioctl PIDFD_GET_INFO", errno)
	}
	if !atLeast(6, 15) {
		return "without exit codes (Linux 6.15)", nil
	}
	return "with exit codes", nil
}

func seccompFilter() (string, error) {
	const getActionAvail = 2 // SECCOMP_GET_ACTION_AVAIL
	action := uint32(unix.SECCOMP_RET_ERRNO)
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, getActionAvail, 0, uintptr(unsafe.Pointer(&action)))
	if errno != 0 {
		return "", os.NewSyscallError("seccomp", errno)
	}
	return "", nil
}

func userNamespaces() (string, error) {
	for _, knob := range []string{
		"/proc/sys/user/max_user_namespaces", "/proc/sys/kernel/unprivileged_userns_clone",
	} {
		if v, err := number(knob); err == nil && v == 0 {
			return "", fmt.Errorf("%s is 0", knob)
		}
	}
	if v, err := number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"); err == nil && v == 1 {
		return "AppArmor restricts them to programs with a profile", errUnsure
	}
	if _, err := os.Stat("/proc/self/ns/user"); err != nil {
		return "", errors.New("no user namespaces in this kernel")
	}
	return "", nil
}

func subordinateIDs() (string, error) {
	for _, tool := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("%s is not installed", tool)
		}
	}
	me, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("%w: %w", errUnsure, err)
	}
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		data, _ := os.ReadFile(file)
		if !strings.Contains("\n"+string(data), "\n"+me.Username+":") && !strings.Contains("\n"+string(data), "\n"+me.Uid+":") {
			return "", fmt.Errorf("%s has no range for %s", file, me.Username)
		}
	}
	return "", nil
}

func inotify() (string, error) {
	watches, err := number("/proc/sys/fs/inotify/max_user_watches")
	if err != nil {
		return "", fmt.Errorf("%w: %w", errUnsure, err)
	}
	instances, err := number("/proc/sys/fs/inotify/max_user_instances")
	if err != nil {
		return "", fmt.Errorf("%w: %w", errUnsure, err)
	}
	detail := fmt.Sprintf("%d watches, %d instances", watches, instances)
	if watches < 65536 || instances < 128 {
		return detail, errors.New("low for large trees")
	}
	return detail, nil
}

func openFiles() (string, error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return "", os.NewSyscallError("getrlimit", err)
	}
	if l.Max < 16384 {
		return strconv.FormatUint(l.Max, 10), errors.New("low for many services")
	}
	return strconv.FormatUint(l.Max, 10), nil
}

func number(file string) (int, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}
