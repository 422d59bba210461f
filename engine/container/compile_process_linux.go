package container

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"devstack/engine/container/child"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// compileProcess translates identity and command.
func compileProcess(sp *specs.Process) (child.Process, error) {
	if len(sp.Args) == 0 || sp.Args[0] == "" {
		return child.Process{}, errors.New("check spec: process has no command")
	}
	p := child.Process{
		Terminal: sp.Terminal, Args: sp.Args, Env: sp.Env, Cwd: sp.Cwd,
		UID: int(sp.User.UID), GID: int(sp.User.GID), Umask: 0o022,
		NoNewPrivs: sp.NoNewPrivileges, Keyring: true, ChownStdio: !sp.Terminal,
		LastCap: lastCap(),
	}
	if p.Cwd == "" {
		p.Cwd = "/"
	}
	if !strings.HasPrefix(p.Cwd, "/") {
		return p, fmt.Errorf("check spec: working directory %q is not absolute", p.Cwd)
	}
	if sp.ConsoleSize != nil {
		p.Rows, p.Cols = int(sp.ConsoleSize.Height), int(sp.ConsoleSize.Width)
	}
	if sp.User.Umask != nil {
		p.Umask = int(*sp.User.Umask)
	}
	for _, g := range sp.User.AdditionalGids {
		p.Groups = append(p.Groups, int(g))
	}
	if sp.OOMScoreAdj != nil {
		p.SetOOM, p.OOMScoreAdj = true, *sp.OOMScoreAdj
	}
	for _, r := range sp.Rlimits {
		n, ok := rlimits()[strings.ToUpper(r.Type)]
		if !ok {
			return p, fmt.Errorf("check spec: rlimit %q is not known", r.Type)
		}
		p.Rlimits = append(p.Rlimits, child.Rlimit{Resource: n, Soft: r.Soft, Hard: r.Hard})
	}
	return p, compileCaps(&p, sp.Capabilities)
}

func compileCaps(p *child.Process, caps *specs.LinuxCapabilities) error {
	if caps == nil {
		return nil
	}
	sets := []struct {
		names []string
		into  *uint64
	}{
		{caps.Bounding, &p.Bounding},
		{caps.Effective, &p.Effective},
		{caps.Permitted, &p.Permitted},
		{caps.Inheritable, &p.Inheritable},
		{caps.Ambient, &p.Ambient},
	}
	all := AllCapabilities()
	for _, s := range sets {
		for _, name := range s.names {
			n := slices.Index(all, strings.ToUpper(name))
			if n < 0 {
				return fmt.Errorf("check spec: capability %q is not known", name)
			}
			if n <= p.LastCap { // an older kernel has nothing to grant
				*s.into |= 1 << n
			}
		}
	}
	return nil
}

func lastCap() int {
	b, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if n, aerr := strconv.Atoi(string(bytes.TrimSpace(b))); err == nil && aerr == nil {
		return n
	}
	return len(AllCapabilities()) - 1
}

// CheckRlimit finds the name of a limit, as nofile, that the kernel does not have.
func CheckRlimit(name string) error {
	if _, ok := rlimits()["RLIMIT_"+strings.ToUpper(name)]; !ok {
		return fmt.Errorf("there is no ulimit %q", name)
	}
	return nil
}

func rlimits() map[string]int {
	return map[string]int{
		"RLIMIT_CPU": 0, "RLIMIT_FSIZE": 1, "RLIMIT_DATA": 2, "RLIMIT_STACK": 3, "RLIMIT_CORE": 4, "RLIMIT_RSS": 5,
		"RLIMIT_NPROC": 6, "RLIMIT_NOFILE": 7, "RLIMIT_MEMLOCK": 8, "RLIMIT_AS": 9, "RLIMIT_LOCKS": 10,
		"RLIMIT_SIGPENDING": 11, "RLIMIT_MSGQUEUE": 12, "RLIMIT_NICE": 13, "RLIMIT_RTPRIO": 14, "RLIMIT_RTTIME": 15,
	}
}
