package cgroup

import "errors"

// ErrUnavailable means that the host has no hierarchy for what was asked.
var ErrUnavailable = errors.New("cgroup controller is not available")

// Stats is what a group has used. A field is zero where no controller counts it.
type Stats struct {
	CPUUsage     uint64 // nanoseconds
	CPUUser      uint64 // nanoseconds
	CPUSystem    uint64 // nanoseconds
	Throttled    uint64 // nanoseconds
	MemoryUsage  uint64 // bytes, with page cache
	MemoryCache  uint64 // bytes of inactive file pages in MemoryUsage
	MemoryLimit  uint64 // bytes; 0: none
	MemoryCounts bool   // a memory controller counts this group
	PIDs         uint64
	PIDsLimit    uint64 // 0: none
	BlockRead    uint64 // bytes
	BlockWrite   uint64 // bytes
	OOMKills     uint64
}
