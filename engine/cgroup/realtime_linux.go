package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

const (
	realtimePeriod  = "cpu.rt_period_us"
	realtimeRuntime = "cpu.rt_runtime_us"
)

// hasRealtime tells whether real-time tasks are scheduled by group, which is
// so on v1 with a kernel that has CONFIG_RT_GROUP_SCHED.
func (l *Layout) hasRealtime() error {
	h := l.byController("cpu")
	if h == nil || h.v2 {
		return fmt.Errorf("%w: cgroup v2 has no real-time scheduling by group", ErrUnavailable)
	}
	if _, err := os.Stat(filepath.Join(h.dir, realtimeRuntime)); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: this kernel has no real-time scheduling by group (CONFIG_RT_GROUP_SCHED)", ErrUnavailable)
	}
	return nil
}

// reserveRealtime gives the groups above path what a new one there wants: v1
// starts with nothing, and a group has no more to give than it has got. The
// shares of groups that are gone stay until the parent goes.
func reserveRealtime(h *hierarchy, path string, c *specs.LinuxCPU) error {
	period := uint64(1_000_000) // the kernel's default
	if c.RealtimePeriod != nil && *c.RealtimePeriod != 0 {
		period = *c.RealtimePeriod
	}
	dir := h.dir
	names := strings.Split(strings.Trim(path, "/"), "/")
	for _, name := range names[:len(names)-1] {
		dir = filepath.Join(dir, name)
		theirs, ok := number(filepath.Join(dir, realtimePeriod))
		have, ok2 := number(filepath.Join(dir, realtimeRuntime))
		if !ok || !ok2 {
			continue
		}
		want := have + (uint64(*c.RealtimeRuntime)*theirs+period-1)/period
		if err := write(filepath.Join(dir, realtimeRuntime), strconv.FormatUint(want, 10)); err != nil {
			return fmt.Errorf("reserve %d of %d µs for real-time tasks in %q: %w", want, theirs, dir, err)
		}
	}
	return nil
}

// What a host may lack of the limits that are no more than a wish.
const (
	Swappiness  = "memory swappiness"
	OOMDisabled = "switch for the OOM killer"
	SwapLimit   = "limit of swap"
	IOWeight    = "I/O weights"
)

// Lacks tells which of the limits that a container can do without this host
// does not have: they are left out. What it cannot do without is an error.
func (l *Layout) Lacks(res *specs.LinuxResources) ([]string, error) {
	if _, err := limits(l, res); err != nil || res == nil {
		return nil, err
	}
	var lacks []string
	if m, h := res.Memory, l.byController("memory"); m != nil && h != nil {
		if m.Swappiness != nil && h.v2 {
			lacks = append(lacks, Swappiness)
		}
		if m.DisableOOMKiller != nil && *m.DisableOOMKiller && h.v2 {
			lacks = append(lacks, OOMDisabled)
		}
		if m.Swap != nil && !h.v2 && !exists(h.dir, "memory.memsw.limit_in_bytes") {
			lacks = append(lacks, SwapLimit)
		}
	}
	if b := res.BlockIO; b != nil && (b.Weight != nil || len(b.WeightDevice) > 0) {
		// The files of weights are not at the top; those of what has weights are.
		h := l.byController("blkio")
		if h == nil {
			h = l.byController("io")
		}
		if h != nil && !exists(h.dir, "blkio.bfq.io_service_bytes", "blkio.weight", "io.cost.qos") && !exists("/sys/module/bfq") {
			lacks = append(lacks, IOWeight)
		}
	}
	return lacks, nil
}

// exists reports whether dir has one of the files; without any, whether it is.
func exists(dir string, files ...string) bool {
	if len(files) == 0 {
		files = []string{""}
	}
	for _, f := range files {
		if _, err := os.Stat(filepath.Join(dir, f)); err == nil {
			return true
		}
	}
	return false
}
