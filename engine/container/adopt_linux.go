package container

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Adopt takes over a container of an engine that is gone. ErrNotRunning means
// that its process is gone too; Sweep removes what is left then.
func (rt *Runtime) Adopt(_ context.Context, a AdoptConfig) (*Container, error) {
	if err := checkID(a.ID); err != nil {
		return nil, err
	}
	pidfd, err := unix.PidfdOpen(a.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("adopt process %d: %w", a.PID, err)
	}
	// The pidfd holds the pid; only now does its start time prove anything.
	p, err := newProcess(a.PID, pidfd, ourChild(a.PID))
	if err != nil || p.start != a.StartTime {
		if p != nil {
			p.close()
		}
		return nil, ErrNotRunning
	}
	k := &Container{rt: rt, id: a.ID, process: p}
	if a.CgroupsPath != "" {
		if k.group, err = rt.layout.Find(a.CgroupsPath); err != nil {
			p.close()
			return nil, err
		}
	}
	if a.Spec != nil && a.Spec.Linux != nil {
		if k.seccomp, k.flags, err = rt.filters.Compile(a.Spec.Linux.Seccomp); err != nil {
			p.close()
			return nil, err
		}
	}
	go p.watch(k.noteOOM)
	return k, nil
}

// ourChild: an engine that executed itself anew still is the parent.
func ourChild(pid int) bool {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "PPid:"); ok {
			return strings.TrimSpace(value) == strconv.Itoa(os.Getpid())
		}
	}
	return false
}

// proportional sums the memory of processes where no controller counts it:
// what each has for itself and its share of the rest.
func proportional(pids []int) uint64 {
	var total uint64
	for _, pid := range pids {
		b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) == 3 && f[0] == "Pss:" {
				n, _ := strconv.ParseUint(f[1], 10, 64)
				total += n << 10
			}
		}
	}
	return total
}
