package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"devstack/network/netns"
)

// workEnv names the variable with the directory of this run, a tmpfs inside.
const workEnv = "DEVSTACK_BENCH_DIR"

// sandbox runs bench with args as pid 1 of new namespaces.
func sandbox(args []string, stderr io.Writer) int {
	dir, err := os.MkdirTemp("", "devstack-bench-")
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	defer os.Remove(dir) // empty: the tmpfs exists inside only
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), workEnv+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET,
		Pdeathsig:  unix.SIGKILL,
	}
	outside, err := os.Open("/proc/self/ns/net")
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	defer outside.Close()
	cmd.ExtraFiles = []*os.File{outside} // outsideNet
	// Ctrl-C reaches the measuring process by itself; the way out is orderly.
	signal.Ignore(os.Interrupt)
	return exitCode(cmd.Run(), stderr)
}

// outsideNet is the descriptor of the network namespace that bench was started
// in: daemons that run there publish their ports there.
const outsideNet = 3

// keepOutside keeps the descriptor from the commands that are measured.
func keepOutside() { unix.CloseOnExec(outsideNet) }

// dialOutside connects in that namespace: a socket belongs to the namespace of
// the thread that makes it.
func dialOutside(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	err = netns.Do(fmt.Sprintf("/proc/self/fd/%d", outsideNet), func() (err error) {
		conn, err = (&net.Dialer{FallbackDelay: -1}).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// apart gives cmd a process group of its own, for interrupt.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// interrupt sends SIGINT to the process group of cmd.
func interrupt(cmd *exec.Cmd) { unix.Kill(-cmd.Process.Pid, unix.SIGINT) }

func exitCode(err error, stderr io.Writer) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1)
	case errors.Is(err, unix.EPERM):
		fmt.Fprintln(stderr, "bench: needs root, to make namespaces")
	default:
		fmt.Fprintln(stderr, "bench:", err)
	}
	return 1
}

// initProcess is pid 1: it furnishes the namespaces, runs the measuring
// process, and reaps whatever is left without a parent.
func initProcess(args []string, stderr io.Writer) int {
	if err := furnish(os.Getenv(workEnv)); err != nil {
		fmt.Fprintln(stderr, "bench: prepare namespaces:", err)
		return 1
	}
	child, err := os.StartProcess("/proc/self/exe", append([]string{"bench"}, args...),
		&os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, os.NewFile(outsideNet, "net")}, Env: os.Environ()})
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			fmt.Fprintln(stderr, "bench: wait:", err)
			return 1
		case pid == child.Pid && status.Exited():
			return status.ExitStatus()
		case pid == child.Pid:
			return 1
		}
	}
}

func furnish(dir string) error {
	if os.Getpid() != 1 || dir == "" {
		return errors.New("this role is not for the command line")
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("devstack-bench", dir, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	return netlink.LinkSetUp(lo)
}

// hybridUnified is where a hybrid cgroup set-up has its empty v2 tree.
const hybridUnified = "/sys/fs/cgroup/unified"

// coverUnified puts an empty tmpfs over the v2 tree of a hybrid set-up, which
// crun refuses to work with, in the mount namespace of the calling process.
func coverUnified() error {
	if _, err := os.Stat(filepath.Join(hybridUnified, "cgroup.controllers")); err != nil {
		return nil
	}
	return unix.Mount("devstack-bench", hybridUnified, "tmpfs", 0, "size=4k")
}
