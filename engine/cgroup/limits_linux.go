package cgroup

import (
	"fmt"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// setting is one value for one control file, in the order of writing.
type setting struct {
	controller, file, value string
	optional                bool // a host without the file is fine
}

// limits translates the spec's resources for this host. It is an error to ask
// for a limit that no controller can hold: a limit is never silently dropped.
func limits(l *Layout, res *specs.LinuxResources) ([]setting, error) {
	if res == nil {
		return nil, nil
	}
	v2 := func(controller string) bool {
		h := l.byController(controller)
		return h != nil && h.v2
	}
	var all []setting
	all = append(all, memory(res.Memory, v2("memory"))...)
	all = append(all, cpu(res.CPU, v2("cpu"))...)
	all = append(all, cpuset(res.CPU)...)
	if p := res.Pids; p != nil && p.Limit != nil {
		value := "max"
		if *p.Limit > 0 {
			value = strconv.FormatInt(*p.Limit, 10)
		}
		if *p.Limit > 0 || l.Has("pids") {
			all = append(all, setting{"pids", "pids.max", value, false})
		}
	}
	all = append(all, blockIO(res.BlockIO, v2("io"))...)
	for _, h := range res.HugepageLimits {
		file := "hugetlb." + h.Pagesize + ".limit_in_bytes"
		if v2("hugetlb") {
			file = "hugetlb." + h.Pagesize + ".max"
		}
		all = append(all, setting{"hugetlb", file, strconv.FormatUint(h.Limit, 10), false})
	}
	if l.Has("devices") {
		all = append(all, devices(res.Devices)...)
	}
	for file, value := range res.Unified {
		if l.unified == nil || len(l.v1) > 0 {
			return nil, fmt.Errorf("set %s: %w: unified settings need a cgroup v2 host", file, ErrUnavailable)
		}
		controller, _, _ := cut(file, '.')
		all = append(all, setting{controller, file, value, false})
	}
	if res.Network != nil || len(res.Rdma) > 0 {
		return nil, fmt.Errorf("set network or rdma limits: %w", ErrUnavailable)
	}
	for _, s := range all {
		if s.controller != "cgroup" && !l.Has(s.controller) {
			return nil, fmt.Errorf("set %s: %w: %s", s.file, ErrUnavailable, s.controller)
		}
		if s.file == realtimeRuntime || s.file == realtimePeriod {
			if err := l.hasRealtime(); err != nil {
				return nil, fmt.Errorf("set %s: %w", s.file, err)
			}
		}
	}
	return all, nil
}

func cut(s string, sep byte) (before, after string, found bool) {
	for i := range len(s) {
		if s[i] == sep {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

func bytesOrMax(n int64, v2 bool) string {
	switch {
	case n < 0 && v2:
		return "max"
	case n < 0:
		return "-1"
	}
	return strconv.FormatInt(n, 10)
}

func memory(m *specs.LinuxMemory, v2 bool) []setting {
	if m == nil {
		return nil
	}
	var all []setting
	add := func(file, value string, optional bool) {
		all = append(all, setting{"memory", file, value, optional})
	}
	if m.Limit != nil && *m.Limit != 0 {
		add(pick(v2, "memory.max", "memory.limit_in_bytes"), bytesOrMax(*m.Limit, v2), false)
	}
	if m.Swap != nil && *m.Swap != 0 {
		// v1 limits memory and swap together, v2 swap alone. A kernel without
		// swap accounting has no such file.
		if !v2 {
			add("memory.memsw.limit_in_bytes", bytesOrMax(*m.Swap, false), true)
		} else {
			swap := *m.Swap
			if swap > 0 && m.Limit != nil && *m.Limit > 0 {
				swap -= *m.Limit
			}
			add("memory.swap.max", bytesOrMax(swap, true), true)
		}
	}
	if m.Reservation != nil && *m.Reservation != 0 {
		add(pick(v2, "memory.low", "memory.soft_limit_in_bytes"), bytesOrMax(*m.Reservation, v2), false)
	}
	if m.Swappiness != nil && !v2 {
		add("memory.swappiness", strconv.FormatUint(*m.Swappiness, 10), true)
	}
	if m.DisableOOMKiller != nil && *m.DisableOOMKiller && !v2 {
		add("memory.oom_control", "1", false)
	}
	return all
}

func cpu(c *specs.LinuxCPU, v2 bool) []setting {
	if c == nil {
		return nil
	}
	var all []setting
	add := func(file, value string) { all = append(all, setting{"cpu", file, value, false}) }
	if c.Shares != nil && *c.Shares != 0 {
		if v2 {
			add("cpu.weight", strconv.FormatUint(weight(*c.Shares), 10))
		} else {
			add("cpu.shares", strconv.FormatUint(*c.Shares, 10))
		}
	}
	period, quota := uint64(100_000), int64(-1)
	if c.Period != nil && *c.Period != 0 {
		period = *c.Period
	}
	if c.Quota != nil && *c.Quota != 0 {
		quota = *c.Quota
	}
	if (c.Period != nil && *c.Period != 0) || quota > 0 {
		if v2 {
			add("cpu.max", bytesOrMax(quota, true)+" "+strconv.FormatUint(period, 10))
		} else {
			add("cpu.cfs_period_us", strconv.FormatUint(period, 10))
			add("cpu.cfs_quota_us", strconv.FormatInt(quota, 10))
		}
	}
	if c.RealtimePeriod != nil && *c.RealtimePeriod != 0 {
		add(realtimePeriod, strconv.FormatUint(*c.RealtimePeriod, 10))
	}
	if c.RealtimeRuntime != nil && *c.RealtimeRuntime != 0 {
		add(realtimeRuntime, strconv.FormatInt(*c.RealtimeRuntime, 10))
	}
	if c.Idle != nil && *c.Idle != 0 {
		add("cpu.idle", strconv.FormatInt(*c.Idle, 10))
	}
	return all
}

// weight maps v1 shares [2, 262144] to v2 weights [1, 10000], as everyone does.
func weight(shares uint64) uint64 {
	shares = min(max(shares, 2), 262144)
	return 1 + (shares-2)*9999/262142
}

func cpuset(c *specs.LinuxCPU) []setting {
	if c == nil {
		return nil
	}
	var all []setting
	if c.Cpus != "" {
		all = append(all, setting{"cpuset", "cpuset.cpus", c.Cpus, false})
	}
	if c.Mems != "" {
		all = append(all, setting{"cpuset", "cpuset.mems", c.Mems, false})
	}
	return all
}

func blockIO(b *specs.LinuxBlockIO, v2 bool) []setting {
	if b == nil {
		return nil
	}
	controller := pick(v2, "io", "blkio")
	var all []setting
	add := func(file, value string, optional bool) {
		all = append(all, setting{controller, file, value, optional})
	}
	if b.Weight != nil && *b.Weight != 0 {
		w := uint64(*b.Weight)
		if v2 { // io.weight is of blk-iocost: [10, 1000] to [1, 10000]
			add("io.bfq.weight", strconv.FormatUint(w, 10), true)
			add("io.weight", "default "+strconv.FormatUint(1+(max(w, 10)-10)*9999/990, 10), true)
		} else { // which file exists depends on the I/O scheduler
			add("blkio.weight", strconv.FormatUint(w, 10), true)
			add("blkio.bfq.weight", strconv.FormatUint(w, 10), true)
		}
	}
	for _, d := range b.WeightDevice {
		if d.Weight == nil {
			continue
		}
		device := fmt.Sprintf("%d:%d ", d.Major, d.Minor)
		plain := device + strconv.FormatUint(uint64(*d.Weight), 10)
		if v2 {
			add("io.bfq.weight", plain, true)
			add("io.weight", device+strconv.FormatUint(1+(max(uint64(*d.Weight), 10)-10)*9999/990, 10), true)
		} else {
			add("blkio.weight_device", plain, true)
			add("blkio.bfq.weight_device", plain, true)
		}
	}
	throttle := func(list []specs.LinuxThrottleDevice, v1File, v2Key string) {
		for _, d := range list {
			device := fmt.Sprintf("%d:%d ", d.Major, d.Minor)
			rate := strconv.FormatUint(d.Rate, 10)
			if v2 {
				add("io.max", device+v2Key+"="+rate, false)
			} else {
				add(v1File, device+rate, false)
			}
		}
	}
	throttle(b.ThrottleReadBpsDevice, "blkio.throttle.read_bps_device", "rbps")
	throttle(b.ThrottleWriteBpsDevice, "blkio.throttle.write_bps_device", "wbps")
	throttle(b.ThrottleReadIOPSDevice, "blkio.throttle.read_iops_device", "riops")
	throttle(b.ThrottleWriteIOPSDevice, "blkio.throttle.write_iops_device", "wiops")
	return all
}

// devices are rules in order; a rule for everything is a reset.
func devices(rules []specs.LinuxDeviceCgroup) []setting {
	var all []setting
	for _, r := range rules {
		all = append(all, setting{"devices", pick(r.Allow, "devices.allow", "devices.deny"), deviceRule(r), false})
	}
	return all
}

func deviceRule(r specs.LinuxDeviceCgroup) string {
	number := func(n *int64) string {
		if n == nil || *n < 0 {
			return "*"
		}
		return strconv.FormatInt(*n, 10)
	}
	if r.Type == "" || r.Type == "a" {
		return "a"
	}
	access := r.Access
	if access == "" {
		access = "rwm"
	}
	return r.Type + " " + number(r.Major) + ":" + number(r.Minor) + " " + access
}

func pick(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}
