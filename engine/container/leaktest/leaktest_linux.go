package leaktest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Check looks around when the test and all clean-ups registered after this call
// are over, and fails the test for everything that was not there before.
func Check(t testing.TB, names ...string) {
	t.Helper()
	before := look(names)
	t.Cleanup(func() {
		awaitChildren(before)
		for _, leak := range look(names).since(before) {
			t.Errorf("left behind: %s", leak)
		}
	})
}

// Find lists what exists now of the names' mounts, groups and interfaces.
func Find(names ...string) []string {
	s := look(names)
	return slices.Concat(s.mounts, s.groups, s.links)
}

type sight struct {
	mounts, groups, links, processes, files []string
}

func look(names []string) sight {
	return sight{
		mounts: mounts(names), groups: groups(names), links: links(names),
		processes: descendants(os.Getpid()), files: files(),
	}
}

// since returns what s has and before has not; files are compared by number of
// a kind, because descriptors move.
func (s sight) since(before sight) []string {
	var leaks []string
	for _, pair := range [][2][]string{
		{s.mounts, before.mounts},
		{s.groups, before.groups},
		{s.links, before.links},
		{s.processes, before.processes},
		{s.files, before.files},
	} {
		left := slices.Clone(pair[1])
		for _, item := range pair[0] {
			if i := slices.Index(left, item); i >= 0 {
				left = slices.Delete(left, i, i+1)
				continue
			}
			leaks = append(leaks, item)
		}
	}
	return leaks
}

func contains(s string, names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return n != "" && strings.Contains(s, n) })
}

func mounts(names []string) []string {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	var found []string
	for line := range strings.Lines(string(b)) {
		if contains(line, names) {
			found = append(found, "mount "+strings.TrimSpace(line))
		}
	}
	return found
}

func groups(names []string) []string {
	var found []string
	for _, pattern := range []string{"/sys/fs/cgroup/*", "/sys/fs/cgroup/*/*", "/sys/fs/cgroup/*/*/*", "/sys/fs/cgroup/*/*/*/*"} {
		paths, _ := filepath.Glob(pattern)
		for _, p := range paths {
			if info, err := os.Stat(p); err == nil && info.IsDir() && contains(p, names) {
				found = append(found, "cgroup "+p)
			}
		}
	}
	return found
}

func links(names []string) []string {
	all, _ := net.Interfaces()
	var found []string
	for _, i := range all {
		if contains(i.Name, names) {
			found = append(found, "interface "+i.Name)
		}
	}
	return found
}

// descendants lists the processes below pid, zombies too.
func descendants(pid int) []string {
	children := map[int][]int{}
	what := map[int]string{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		id, rest, _ := strings.Cut(string(b), " (")
		end := strings.LastIndex(rest, ") ")
		if end < 0 {
			continue
		}
		fields := strings.Fields(rest[end+2:])
		child, _ := strconv.Atoi(id)
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], child)
		what[child] = fmt.Sprintf("process %d (%s) %s", child, rest[:end], fields[0])
	}
	var found []string
	queue := children[pid]
	for len(queue) > 0 {
		next := queue[0]
		queue = append(queue[1:], children[next]...)
		found = append(found, what[next])
	}
	return found
}

// awaitChildren gives processes that are dying a moment to be gone.
func awaitChildren(before sight) {
	for _, p := range descendants(os.Getpid()) {
		if slices.Contains(before.processes, p) {
			continue
		}
		var pid int
		fmt.Sscanf(p, "process %d", &pid)
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		const milliseconds = 1000
		unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, milliseconds)
		unix.Close(fd)
	}
}

// files lists open descriptors by what they refer to, but for those that Go's
// runtime opens once and keeps.
func files() []string {
	entries, _ := os.ReadDir("/proc/self/fd")
	var found []string
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(to, "anon_inode:[event") || strings.HasPrefix(to, fmt.Sprintf("/proc/%d/fd", os.Getpid())) {
			continue
		}
		for _, kind := range []string{"pipe:", "socket:"} {
			if strings.HasPrefix(to, kind) {
				to = kind
			}
		}
		found = append(found, "open file "+to)
	}
	return found
}
