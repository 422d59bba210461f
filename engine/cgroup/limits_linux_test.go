package cgroup

import (
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func ptr[T any](v T) *T { return &v }

func all() *specs.LinuxResources {
	return &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr(int64(100)), Swap: ptr(int64(300)), Reservation: ptr(int64(50)), Swappiness: ptr(uint64(10))},
		CPU:    &specs.LinuxCPU{Shares: ptr(uint64(1024)), Quota: ptr(int64(5000)), Period: ptr(uint64(10000)), Cpus: "0-1", Mems: "0"},
		Pids:   &specs.LinuxPids{Limit: ptr(int64(7))},
		BlockIO: &specs.LinuxBlockIO{
			Weight:                ptr(uint16(500)),
			ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{{Rate: 9}},
		},
		Devices: []specs.LinuxDeviceCgroup{{Type: "a"}, {Allow: true, Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(3)), Access: "rw"}},
	}
}

func render(t *testing.T, l *Layout, r *specs.LinuxResources) string {
	t.Helper()
	settings, err := limits(l, r)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, s := range settings {
		fmt.Fprintf(&b, "%s=%s\n", s.file, s.value)
	}
	return b.String()
}

func v1Layout() *Layout {
	l := &Layout{}
	for _, c := range []string{"memory", "cpu", "cpuset", "pids", "blkio", "devices", "freezer"} {
		l.v1 = append(l.v1, &hierarchy{dir: "/x/" + c, controllers: []string{c}})
	}
	return l
}

func v2Layout() *Layout {
	return &Layout{unified: &hierarchy{dir: "/x", v2: true, controllers: []string{"memory", "cpu", "cpuset", "pids", "io"}}}
}

func TestLimitsV1(t *testing.T) {
	want := `memory.limit_in_bytes=100
memory.memsw.limit_in_bytes=300
memory.soft_limit_in_bytes=50
memory.swappiness=10
cpu.shares=1024
cpu.cfs_period_us=10000
cpu.cfs_quota_us=5000
cpuset.cpus=0-1
cpuset.mems=0
pids.max=7
blkio.weight=500
blkio.bfq.weight=500
blkio.throttle.read_bps_device=0:0 9
devices.deny=a
devices.allow=c 1:3 rw
`
	if got := render(t, v1Layout(), all()); got != want {
		t.Errorf("got %s", got)
	}
}

func TestLimitsV2(t *testing.T) {
	want := `memory.max=100
memory.swap.max=200
memory.low=50
cpu.weight=39
cpu.max=5000 10000
cpuset.cpus=0-1
cpuset.mems=0
pids.max=7
io.bfq.weight=500
io.weight=default 4950
io.max=0:0 rbps=9
`
	if got := render(t, v2Layout(), all()); got != want {
		t.Errorf("got %s", got)
	}
}

func TestUnlimited(t *testing.T) {
	r := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr(int64(-1)), Swap: ptr(int64(-1))}, Pids: &specs.LinuxPids{Limit: ptr(int64(-1))},
		CPU: &specs.LinuxCPU{Period: ptr(uint64(50000))},
	}
	if got := render(t, v2Layout(), r); got != "memory.max=max\nmemory.swap.max=max\ncpu.max=max 50000\npids.max=max\n" {
		t.Errorf("got %q", got)
	}
	if got := render(t, v1Layout(), r); got != "memory.limit_in_bytes=-1\nmemory.memsw.limit_in_bytes=-1\ncpu.cfs_period_us=50000\ncpu.cfs_quota_us=-1\npids.max=max\n" {
		t.Errorf("got %q", got)
	}
}

func TestMissingControllerIsAnError(t *testing.T) {
	l := &Layout{unified: &hierarchy{v2: true}}
	if _, err := limits(l, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(1))}}); err == nil {
		t.Error("a memory limit without a memory controller was dropped")
	}
}

func TestLayoutOfMountinfo(t *testing.T) {
	known := map[string]bool{"": true, "memory": true, "cpu": true, "cpuacct": true}
	l := &Layout{}
	for _, line := range []string{
		"36 35 0:31 /docker/1 /sys/fs/cgroup/memory rw,relatime shared:1 - cgroup cgroup rw,memory",
		"37 35 0:32 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
		"38 35 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate",
		"39 35 0:34 / /proc rw - proc proc rw",
		"malformed",
	} {
		l.addMount(line, known)
	}
	if l.Mode() != "hybrid" || !l.Has("cpuacct") || l.Has("pids") {
		t.Errorf("got %+v", l)
	}
	if got := l.byController("memory").dir; got != "/sys/fs/cgroup/memory" {
		t.Errorf("memory is at %s", got)
	}
	if l.tracker() != l.unified {
		t.Error("the unified tree should track")
	}
	if v1 := v1Layout(); v1.tracker() != v1.byController("freezer") {
		t.Error("the freezer should track")
	}
}

func TestPathsAreChecked(t *testing.T) {
	l := v1Layout()
	for _, path := range []string{"", "/", "x", "/a/../b", "/a/", "/../x"} {
		if _, err := l.Make(path, nil); err == nil {
			t.Errorf("%q was accepted", path)
		}
	}
}
