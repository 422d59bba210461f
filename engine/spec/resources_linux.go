package spec

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"devstack/compose"
)

// cpuPeriod is the default CFS period in µs.
const cpuPeriod = 100_000

// Resources are the limits of a service; deploy.resources.limits wins over the
// older keys, as in Compose.
func Resources(s *compose.Service) (*specs.LinuxResources, error) {
	mem, reserve, cpus, pids := s.MemLimit, s.MemReservation, s.CPUs, s.PidsLimit
	if s.Deploy != nil {
		if l := s.Deploy.Resources.Limits; l != nil {
			mem = pick(l.Memory, mem)
			cpus = pick(l.CPUs, cpus)
			pids = pick(l.Pids, pids)
		}
		if r := s.Deploy.Resources.Reservations; r != nil {
			reserve = pick(r.Memory, reserve)
		}
	}
	res := &specs.LinuxResources{
		Memory: memory(s, int64(mem), int64(reserve)),
		CPU:    cpu(s, cpus),
		Pids:   pidsLimit(pids),
	}
	if err := blockIO(s.BlkioConfig, res); err != nil {
		return nil, err
	}
	return res, nil
}

func pick[T comparable](first, second T) T {
	var zero T
	if first != zero {
		return first
	}
	return second
}

// memory follows Docker: a limit without memswap_limit allows as much swap
// again; -1 lifts the swap limit.
func memory(s *compose.Service, limit, reserve int64) *specs.LinuxMemory {
	m := &specs.LinuxMemory{}
	set := false
	if limit > 0 {
		m.Limit, set = &limit, true
	}
	if reserve > 0 {
		m.Reservation, set = &reserve, true
	}
	swap := int64(s.MemSwapLimit)
	if swap == 0 && limit > 0 {
		swap = 2 * limit
	}
	if swap != 0 {
		m.Swap, set = &swap, true
	}
	if s.MemSwappiness != nil {
		v := uint64(*s.MemSwappiness)
		m.Swappiness, set = &v, true
	}
	if s.OOMKillDisable {
		t := true
		m.DisableOOMKiller, set = &t, true
	}
	if !set {
		return nil
	}
	return m
}

func cpu(s *compose.Service, cpus float32) *specs.LinuxCPU {
	c := &specs.LinuxCPU{}
	set := false
	if cpus > 0 {
		period := uint64(cpuPeriod)
		// float32 keeps 7 digits: round, so that 0.3 CPUs are 30000 µs.
		quota := int64(math.Round(float64(cpus) * cpuPeriod))
		c.Period, c.Quota, set = &period, &quota, true
	}
	if s.CPUPeriod > 0 {
		v := uint64(s.CPUPeriod)
		c.Period, set = &v, true
	}
	if s.CPUQuota != 0 {
		c.Quota, set = &s.CPUQuota, true
	}
	if s.CPUShares > 0 {
		v := uint64(s.CPUShares)
		c.Shares, set = &v, true
	}
	if s.CPUSet != "" {
		c.Cpus, set = s.CPUSet, true
	}
	if s.CPURTRuntime != 0 {
		c.RealtimeRuntime, set = &s.CPURTRuntime, true
	}
	if s.CPURTPeriod != 0 {
		v := uint64(s.CPURTPeriod)
		c.RealtimePeriod, set = &v, true
	}
	if !set {
		return nil
	}
	return c
}

func pidsLimit(n int64) *specs.LinuxPids {
	if n == 0 {
		return nil
	}
	return &specs.LinuxPids{Limit: &n}
}

func blockIO(b *compose.BlkioConfig, res *specs.LinuxResources) error {
	if b == nil {
		return nil
	}
	io := &specs.LinuxBlockIO{}
	if b.Weight > 0 {
		io.Weight = &b.Weight
	}
	for _, w := range b.WeightDevice {
		major, minor, err := deviceNumbers(w.Path)
		if err != nil {
			return err
		}
		d := specs.LinuxWeightDevice{Weight: &w.Weight}
		d.Major, d.Minor = major, minor
		io.WeightDevice = append(io.WeightDevice, d)
	}
	for _, group := range []struct {
		from []compose.ThrottleLimit
		to   *[]specs.LinuxThrottleDevice
	}{
		{b.DeviceReadBps, &io.ThrottleReadBpsDevice},
		{b.DeviceWriteBps, &io.ThrottleWriteBpsDevice},
		{b.DeviceReadIOps, &io.ThrottleReadIOPSDevice},
		{b.DeviceWriteIOps, &io.ThrottleWriteIOPSDevice},
	} {
		for _, l := range group.from {
			major, minor, err := deviceNumbers(l.Path)
			if err != nil {
				return err
			}
			d := specs.LinuxThrottleDevice{Rate: uint64(l.Rate)}
			d.Major, d.Minor = major, minor
			*group.to = append(*group.to, d)
		}
	}
	res.BlockIO = io
	return nil
}

// Rlimits are the ulimits of a service in OCI form.
func Rlimits(ulimits map[string]compose.Ulimit) []specs.POSIXRlimit {
	var out []specs.POSIXRlimit
	for _, name := range sortedKeys(ulimits) {
		u := ulimits[name]
		soft, hard := u.Soft, u.Hard
		if u.Single != 0 {
			soft, hard = u.Single, u.Single
		}
		out = append(out, specs.POSIXRlimit{
			Type: "RLIMIT_" + strings.ToUpper(name),
			Soft: rlimit(soft), Hard: rlimit(hard),
		})
	}
	return out
}

// rlimit maps -1 to "unlimited".
func rlimit(n int64) uint64 {
	if n < 0 {
		return math.MaxUint64
	}
	return uint64(n)
}

// deviceRule parses one device_cgroup_rules entry, "c 1:3 rwm".
func deviceRule(rule string) (specs.LinuxDeviceCgroup, error) {
	f := strings.Fields(rule)
	bad := fmt.Errorf("device_cgroup_rules %q: want \"TYPE MAJOR:MINOR ACCESS\", such as \"c 1:3 rwm\"", rule)
	if len(f) != 3 || len(f[0]) != 1 || !strings.Contains("abc", f[0]) {
		return specs.LinuxDeviceCgroup{}, bad
	}
	major, minor, ok := strings.Cut(f[1], ":")
	if !ok || strings.Trim(f[2], "rwm") != "" {
		return specs.LinuxDeviceCgroup{}, bad
	}
	d := specs.LinuxDeviceCgroup{Allow: true, Type: f[0], Access: f[2]}
	for _, part := range []struct {
		text string
		to   **int64
	}{{major, &d.Major}, {minor, &d.Minor}} {
		if part.text == "*" {
			continue
		}
		n, err := strconv.ParseInt(part.text, 10, 32)
		if err != nil || n < 0 {
			return specs.LinuxDeviceCgroup{}, bad
		}
		*part.to = &n
	}
	return d, nil
}
