package engine

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"devstack/engine/api"
	"devstack/engine/supervise"
)

// Stats takes a sample of what containers use.
func (e *Engine) Stats(_ context.Context, req api.StatsRequest, _ func(api.Message)) ([]api.ContainerStats, error) {
	out := []api.ContainerStats{}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return nil, fmt.Errorf("read the machine's memory: %w", err)
	}
	for _, p := range e.all() {
		if req.Name != "" && p.Name != req.Name {
			continue
		}
		for _, u := range e.unitsOf(p.Name, req.Services) {
			s := sample(u, info.Totalram*uint64(info.Unit))
			s.Project = p.Name
			if s.Running || req.All {
				out = append(out, s)
			}
		}
	}
	return out, nil
}

func sample(u *supervise.Unit, memory uint64) api.ContainerStats {
	s := api.ContainerStats{ID: u.ID(), Name: u.Name(), Service: u.Service(), Time: time.Now()}
	c := u.Process()
	if c == nil {
		return s
	}
	used, err := c.Stats()
	if err != nil {
		return s // it ended this moment
	}
	s.Running = true
	s.CPU, s.PIDs = used.CPUUsage, used.PIDs
	s.BlockRead, s.BlockWrite = used.BlockRead, used.BlockWrite
	s.Memory = used.MemoryUsage - min(used.MemoryCache, used.MemoryUsage)
	if s.MemoryLimit = used.MemoryLimit; s.MemoryLimit == 0 || s.MemoryLimit > memory {
		s.MemoryLimit = memory
	}
	s.NetRx, s.NetTx = traffic(c.PID())
	return s
}

// traffic sums up the interfaces that a process sees, but for loopback.
func traffic(pid int) (rx, tx uint64) {
	table, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/net/dev")
	for line := range strings.Lines(string(table)) {
		name, counters, ok := strings.Cut(line, ":")
		f := strings.Fields(counters)
		if !ok || len(f) < 9 || strings.TrimSpace(name) == "lo" {
			continue
		}
		in, _ := strconv.ParseUint(f[0], 10, 64)
		out, _ := strconv.ParseUint(f[8], 10, 64)
		rx, tx = rx+in, tx+out
	}
	return rx, tx
}
