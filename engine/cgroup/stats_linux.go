package cgroup

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Stats reads what the group has used, from whichever controllers it has.
func (g *Group) Stats() Stats {
	var s Stats
	for _, h := range g.trees {
		dir := h.dir + g.path
		if h.v2 {
			unifiedStats(dir, &s)
			continue
		}
		for _, c := range h.controllers {
			v1Stats(c, dir, &s)
		}
	}
	return s
}

// OOMKills counts the processes that the kernel has killed for want of memory.
func (g *Group) OOMKills() uint64 {
	h := g.layout.byController("memory")
	if h == nil {
		return 0
	}
	file := pick(h.v2, "memory.events", "memory.oom_control")
	return pairs(filepath.Join(h.dir+g.path, file))["oom_kill"]
}

func unifiedStats(dir string, s *Stats) {
	cpu := pairs(filepath.Join(dir, "cpu.stat"))
	s.CPUUsage, s.CPUUser, s.CPUSystem = cpu["usage_usec"]*1000, cpu["user_usec"]*1000, cpu["system_usec"]*1000
	s.Throttled = cpu["throttled_usec"] * 1000
	if n, ok := number(filepath.Join(dir, "memory.current")); ok {
		s.MemoryCounts, s.MemoryUsage = true, n
		s.MemoryLimit, _ = number(filepath.Join(dir, "memory.max"))
		s.MemoryCache = pairs(filepath.Join(dir, "memory.stat"))["inactive_file"]
		s.OOMKills = pairs(filepath.Join(dir, "memory.events"))["oom_kill"]
	}
	if n, ok := number(filepath.Join(dir, "pids.current")); ok {
		s.PIDs = n
		s.PIDsLimit, _ = number(filepath.Join(dir, "pids.max"))
	}
	b, _ := os.ReadFile(filepath.Join(dir, "io.stat"))
	for _, field := range strings.Fields(string(b)) {
		key, value, _ := strings.Cut(field, "=")
		n, _ := strconv.ParseUint(value, 10, 64)
		switch key {
		case "rbytes":
			s.BlockRead += n
		case "wbytes":
			s.BlockWrite += n
		}
	}
}

func v1Stats(controller, dir string, s *Stats) {
	switch controller {
	case "cpuacct":
		s.CPUUsage, _ = number(filepath.Join(dir, "cpuacct.usage"))
	case "cpu":
		s.Throttled = pairs(filepath.Join(dir, "cpu.stat"))["throttled_time"]
	case "memory":
		s.MemoryUsage, s.MemoryCounts = number(filepath.Join(dir, "memory.usage_in_bytes"))
		const none = 1 << 60 // v1 has no word for "no limit"
		if n, ok := number(filepath.Join(dir, "memory.limit_in_bytes")); ok && n < none {
			s.MemoryLimit = n
		}
		s.MemoryCache = pairs(filepath.Join(dir, "memory.stat"))["total_inactive_file"]
		s.OOMKills = pairs(filepath.Join(dir, "memory.oom_control"))["oom_kill"]
	case "pids":
		s.PIDs, _ = number(filepath.Join(dir, "pids.current"))
		s.PIDsLimit, _ = number(filepath.Join(dir, "pids.max"))
	case "blkio":
		b, _ := os.ReadFile(filepath.Join(dir, "blkio.throttle.io_service_bytes"))
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) != 3 {
				continue
			}
			n, _ := strconv.ParseUint(f[2], 10, 64)
			switch f[1] {
			case "Read":
				s.BlockRead += n
			case "Write":
				s.BlockWrite += n
			}
		}
	}
}

// number reads a file with one number; "max" and a missing file are not ok.
func number(file string) (uint64, bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	return n, err == nil
}

// pairs reads a file of lines "key number".
func pairs(file string) map[string]uint64 {
	b, _ := os.ReadFile(file)
	m := map[string]uint64{}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			m[key] = n
		}
	}
	return m
}
