package doctor

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const cgroupMount = "/sys/fs/cgroup"

// cgroupMode is "v2", "v1", "hybrid" (v1 controllers beside an empty unified
// tree) or "".
func cgroupMode() string {
	var st unix.Statfs_t
	if unix.Statfs(cgroupMount, &st) != nil {
		return ""
	}
	if st.Type == unix.CGROUP2_SUPER_MAGIC {
		return "v2"
	}
	if unix.Statfs(cgroupMount+"/unified", &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
		return "hybrid"
	}
	if len(v1Controllers()) > 0 {
		return "v1"
	}
	return ""
}

func cgroups() (string, error) {
	mode := cgroupMode()
	if mode == "" {
		return "", errors.New("no hierarchy is mounted")
	}
	return mode, nil
}

// controllers looks for those that carry the common limits.
func controllers() (string, error) {
	var have []string
	if cgroupMode() == "v2" {
		data, err := os.ReadFile(cgroupMount + "/cgroup.controllers")
		if err != nil {
			return "", fmt.Errorf("%w: %w", errUnsure, err)
		}
		have = strings.Fields(string(data))
	} else {
		have = v1Controllers()
	}
	slices.Sort(have)
	var missing []string
	for _, c := range []string{"cpu", "memory", "pids"} {
		if !slices.Contains(have, c) {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		return strings.Join(have, " "), errors.New("without " + strings.Join(missing, ", "))
	}
	return strings.Join(have, " "), nil
}

// v1Controllers are those with a hierarchy mounted below /sys/fs/cgroup.
func v1Controllers() []string {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer f.Close()
	known := knownControllers()
	var have []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		_, super, ok := strings.Cut(lines.Text(), " - cgroup ")
		fields := strings.Fields(super)
		if !ok || len(fields) == 0 {
			continue
		}
		for _, option := range strings.Split(fields[len(fields)-1], ",") {
			if slices.Contains(known, option) && !slices.Contains(have, option) {
				have = append(have, option)
			}
		}
	}
	return have
}

// knownControllers are the names in /proc/cgroups.
func knownControllers() []string {
	data, _ := os.ReadFile("/proc/cgroups") // without it there are none
	var names []string
	for line := range strings.Lines(string(data)) {
		if name, _, ok := strings.Cut(line, "\t"); ok && !strings.HasPrefix(name, "#") {
			names = append(names, name)
		}
	}
	return names
}
