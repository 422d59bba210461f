package supervise

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/cgroup"
	"devstack/engine/container"
	"devstack/engine/image"
	"devstack/engine/image/snapshot"
	"devstack/engine/spec"
	"devstack/engine/state"
)

// Rehearse looks for what would keep a container of s from being made and
// started, without making anything: each fault with its place. dir is where
// relative paths begin, mounted the images of its mounts.
func (p *Project) Rehearse(declared *compose.Project, dir string, s *compose.Service, img image.Image, mounted map[string]image.Image) []error {
	var errs []error
	fail := func(err error, at ...string) {
		if err != nil {
			where := compose.Path(append([]string{"services", s.Name}, at...)...)
			errs = append(errs, &api.Error{Service: s.Name, Message: err.Error(), Path: where})
		}
	}
	if s.StopSignal != "" {
		_, err := ParseSignal(s.StopSignal)
		fail(err, "stop_signal")
	}
	if storageSize(s) > 0 {
		fail(snapshot.CanBound(), "storage_opt", "size")
	}
	_, err := sandboxConfig(s)
	fail(err)
	for i, m := range s.Volumes {
		if m.Type == compose.MountImage {
			_, err := imageMount(p.m.Roots.Data, m, mounted[path.Clean(m.Target)])
			fail(err, "volumes", strconv.Itoa(i))
		}
	}
	_, _, err = fileObjects(declared, s)
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range several.Unwrap() {
			var placed *placedError
			if errors.As(err, &placed) {
				fail(err, placed.at...)
			}
		}
	}
	rec := state.Container{Service: s.Name, Declared: *s, Image: img}
	user, err := p.m.resolveUser(&rec, s.User, s.GroupAdd)
	fail(err, keyIn(err, "user"))
	fail(container.CheckSysctls(s.Sysctls), "sysctls")
	if s.ShmSize < 0 {
		fail(fmt.Errorf("shm_size is %d, less than nothing", int64(s.ShmSize)), "shm_size")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Ulimits)) {
		fail(container.CheckRlimit(name), "ulimits", name)
	}
	sp, err := spec.Build(spec.Input{Service: s, Image: img, User: user, CgroupPath: "/rehearsal", ProjectDir: dir})
	if key := keyIn(err, ""); key != "" {
		fail(err, key)
	} else {
		fail(err)
	}
	if err == nil {
		if m := sp.Linux.Resources.Memory; m != nil && m.Limit != nil && *m.Limit > 0 && *m.Limit < leastMemory {
			at := []string{"mem_limit"}
			if s.MemLimit == 0 {
				at = []string{"deploy", "resources", "limits", "memory"}
			}
			fail(fmt.Errorf("no process starts within a memory limit of %d bytes", *m.Limit), at...)
		}
		_, err = p.m.Runtime.Lacks(sp.Linux.Resources)
		fail(err)
	}
	return errs
}

// leastMemory is less than the kernel itself needs for a process.
const leastMemory = 128 << 10

// keyIn is the key of a service that a fault of its specification begins with,
// other where it begins with none.
func keyIn(err error, other string) string {
	if err == nil {
		return other
	}
	word, _, _ := strings.Cut(err.Error(), " ")
	switch word = strings.TrimSuffix(word, ":"); word {
	case "device":
		return "devices"
	case "group":
		return "group_add"
	case "cap_add", "cap_drop", "security_opt", "device_cgroup_rules", "extra_hosts":
		return word
	}
	return other
}

// Remarks says which settings of a service this host leaves out, in a line
// each: those that are wishes, and not limits.
func (p *Project) Remarks(s *compose.Service) []string {
	res, err := spec.Resources(s)
	if err != nil {
		return nil
	}
	lacks, _ := p.m.Runtime.Lacks(res)
	keys := map[string]string{
		cgroup.Swappiness: "mem_swappiness", cgroup.OOMDisabled: "oom_kill_disable",
		cgroup.SwapLimit: "memswap_limit", cgroup.IOWeight: "blkio_config.weight",
	}
	var out []string
	for _, what := range lacks {
		if what == cgroup.SwapLimit && s.MemSwapLimit == 0 {
			continue // nobody asked for it
		}
		out = append(out, "services."+s.Name+"."+keys[what]+" has no effect: the control groups of this host have no "+what)
	}
	return out
}
