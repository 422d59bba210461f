package fieldtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The test binary runs three times: outside it prepares what needs the
// network; as pid 1 of new namespaces it furnishes them and reaps; as its
// child it runs the tests.
const (
	roleEnv    = "DEVSTACK_FIELDTEST"
	binaryEnv  = "DEVSTACK_FIELDTEST_BINARY"
	debianEnv  = "DEVSTACK_FIELDTEST_DEBIAN"
	hostsEnv   = "DEVSTACK_FIELDTEST_HOSTS"
	modulesEnv = "DEVSTACK_FIELDTEST_MODULES"
)

func TestMain(m *testing.M) {
	code, err := 1, error(nil)
	switch os.Getenv(roleEnv) {
	case "":
		if os.Getuid() != 0 {
			code = m.Run() // the tests skip themselves
			break
		}
		code, err = outside()
	case "init":
		code, err = pidOne()
	case "tests":
		code = m.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fieldtest:", err)
	}
	os.Exit(code)
}

func outside() (int, error) {
	dir, err := os.MkdirTemp("", "fieldtest-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "devstack")
	build := exec.Command("go", "build", "-o", binary, "devstack/cmd/devstack")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build devstack: %w\n%s", err, out)
	}
	debian, err := debianRoot()
	if err != nil {
		return 1, err
	}
	modules, err := shopModules(filepath.Join(dir, "mod"))
	if err != nil {
		return 1, err
	}
	hosts := filepath.Join(dir, "hosts")
	if err := os.WriteFile(hosts, []byte("127.0.0.1 localhost "+strings.Join(hubHosts, " ")+"\n"), 0o644); err != nil {
		return 1, err
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), roleEnv+"=init", binaryEnv+"="+binary, debianEnv+"="+debian,
		modulesEnv+"="+modules, hostsEnv+"="+hosts)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET,
		Pdeathsig:  unix.SIGKILL,
	}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	if err != nil {
		return 1, fmt.Errorf("make namespaces: %w", err)
	}
	return 0, nil
}

func pidOne() (int, error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return 1, fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return 1, fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount(os.Getenv(hostsEnv), "/etc/hosts", "", unix.MS_BIND, ""); err != nil {
		return 1, fmt.Errorf("mount /etc/hosts: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return 1, err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return 1, err
	}
	os.Setenv(roleEnv, "tests")
	tests, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return 1, err
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 1, fmt.Errorf("wait: %w", err)
		case pid == tests.Pid && status.Exited():
			return status.ExitStatus(), nil
		case pid == tests.Pid:
			return 1, fmt.Errorf("the tests ended by %v", status.Signal())
		}
	}
}
