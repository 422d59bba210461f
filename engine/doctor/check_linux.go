package doctor

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// probe is one feature and how to find out about it. A probe answers with an
// error that says why not; errUnsure wraps what proves nothing.
type probe struct {
	feature, since, remedy string
	required               bool
	ask                    func() (detail string, err error)
}

var errUnsure = errors.New("cannot tell")

// Check asks about every feature.
func Check() []Finding {
	findings := make([]Finding, 0, 24)
	for _, p := range probes() {
		findings = append(findings, p.run())
	}
	return findings
}

func (p probe) run() Finding {
	f := Finding{Feature: p.feature, Since: p.since, Required: p.required}
	detail, err := p.ask()
	f.Detail = detail
	switch {
	case err == nil:
		f.Answer = Yes
		return f
	case errors.Is(err, errUnsure), errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		f.Answer = Inconclusive
	default:
		f.Answer = No
	}
	f.Detail, f.Remedy = strings.TrimPrefix(detail+": "+err.Error(), ": "), p.remedy
	if f.Remedy == "" && p.since != "" {
		f.Remedy = "use Linux " + p.since + " or newer"
	}
	return f
}

func probes() []probe {
	list := []probe{
		{"kernel", "5.10", "", true, kernelVersion},
		{"namespaces", "", "enable CONFIG_NAMESPACES with PID_NS, NET_NS, UTS_NS, IPC_NS and CGROUPS", true, namespaces},
		{"overlay", "5.11", "load the module: modprobe overlay", true, overlay},
		{"new mount API", "5.2", "", true, mountAPI},
		{"mount_setattr", "5.12", "", false, mountSetattr},
		{"idmapped mounts", "5.19", "", false, idmappedMounts},
		{"openat2", "5.6", "", true, openat2},
		{"close_range", "5.9", "", false, closeRange},
		{"pidfd", "5.3", "", true, pidfd},
		{"PIDFD_GET_INFO", "6.13", "use Linux 6.15 or newer: exit codes then survive the loss of guard and engine", false, pidfdInfo},
		{"seccomp filter", "4.14", "enable CONFIG_SECCOMP_FILTER", true, seccompFilter},
		{"cgroups", "", "mount cgroup2 at /sys/fs/cgroup", true, cgroups},
		{"cgroup controllers", "", "enable cpu, memory and pids in cgroup.subtree_control or mount their v1 hierarchies; limits do not work without", false, controllers},
		{"bridge and veth", "", "load the modules: modprobe bridge veth", true, links},
		{"nftables NAT", "4.18", "load the modules: modprobe nf_tables nft_chain_nat nft_masq; containers cannot reach other hosts without", false, nat},
		{"IPv4 forwarding", "", "sysctl -w net.ipv4.ip_forward=1", false, forwarding},
		{"inotify limits", "", "sysctl -w fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512", false, inotify},
		{"open files", "", "raise the hard limit: ulimit -Hn 65536", false, openFiles},
	}
	if os.Getuid() != 0 {
		list = append(
			list,
			probe{"user namespaces", "5.11", "sysctl -w kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0 user.max_user_namespaces=15000", true, userNamespaces},
			probe{"subordinate ids", "", "install uidmap and add yourself to /etc/subuid and /etc/subgid: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER", false, subordinateIDs},
		)
	}
	return list
}

// atLeast reports whether the running kernel is major.minor or newer.
func atLeast(major, minor int) bool {
	a, b, _ := release()
	return a > major || a == major && b >= minor
}

func release() (major, minor int, text string) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return 0, 0, ""
	}
	text = unix.ByteSliceToString(u.Release[:])
	_, _ = fmt.Sscanf(text, "%d.%d", &major, &minor) // what does not parse counts as 0.0
	return major, minor, text
}

func kernelVersion() (string, error) {
	_, _, text := release()
	if !atLeast(5, 10) {
		return text, errors.New("too old")
	}
	return text, nil
}

// answered tells a system call that exists, and refused nonsense, from one
// that does not.
func answered(errno unix.Errno) error {
	if errno == unix.ENOSYS {
		return errno
	}
	return nil
}
