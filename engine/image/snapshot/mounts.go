package snapshot

import (
	"bufio"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
)

// mount is a line of /proc/self/mountinfo, as far as it matters here.
type mount struct {
	id    int
	point string
	kind  string // file system type
}

// parseMounts reads mountinfo; see proc_pid_mountinfo(5).
func parseMounts(r io.Reader) ([]mount, error) {
	var mounts []mount
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		head, tail, ok := strings.Cut(sc.Text(), " - ")
		fields := strings.Fields(head)
		if !ok || len(fields) < 6 {
			continue
		}
		id, err := strconv.Atoi(fields[0])
		if err != nil {
			continue
		}
		kind, _, _ := strings.Cut(tail, " ")
		mounts = append(mounts, mount{id, unescape(fields[4]), kind})
	}
	return mounts, sc.Err()
}

// unescape undoes the octal escapes of blanks and backslashes.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// isPseudo tells the file systems that hold no files of anybody's.
func isPseudo(kind string) bool {
	switch kind {
	case "proc", "sysfs", "cgroup", "cgroup2", "devpts", "devtmpfs", "mqueue", "securityfs", "debugfs", "tracefs",
		"bpf", "autofs", "nsfs", "pstore", "efivarfs", "configfs", "fusectl", "hugetlbfs", "binfmt_misc", "rpc_pipefs":
		return true
	}
	return false
}

// isReplaced tells the files that every container gets its own of.
func isReplaced(rel string) bool {
	return rel == "etc/hosts" || rel == "etc/hostname" || rel == "etc/resolv.conf"
}

// within picks the mounts beneath root that belong to its view, parents
// first: no pseudo file systems, nothing in the directories that containers
// have of their own, nothing of hidden.
func within(mounts []mount, root, hidden string) []mount {
	var found []mount
	for _, m := range mounts {
		rel, ok := beneath(root, m.point)
		if !ok || isOwn(rel) || isPseudo(m.kind) || isReplaced(rel) {
			continue
		}
		if _, ok := beneath(hidden, m.point); ok || m.point == hidden {
			continue
		}
		found = append(found, m)
	}
	slices.SortStableFunc(found, func(a, b mount) int { return strings.Compare(path.Clean(a.point), path.Clean(b.point)) })
	return found
}

// beneath gives path relative to root if it lies there.
func beneath(root, path string) (string, bool) {
	if root == "/" {
		return strings.TrimPrefix(path, "/"), path != "/"
	}
	return strings.CutPrefix(path, root+"/")
}

// isOwn says whether a path lies in a directory that a container has from us,
// not from its root.
func isOwn(rel string) bool {
	switch first, _, _ := strings.Cut(rel, "/"); first {
	case "proc", "sys", "dev", "run", "tmp":
		return true
	}
	return false
}
