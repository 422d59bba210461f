package seccomp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Flags of seccomp(2) that a profile may set.
const (
	flagLog       = 2 // SECCOMP_FILTER_FLAG_LOG
	flagSpecAllow = 4 // SECCOMP_FILTER_FLAG_SPEC_ALLOW
)

// Verdicts: enum of linux/seccomp.h.
const (
	retKillProcess = 0x80000000
	retKillThread  = 0x00000000
	retTrap        = 0x00030000
	retErrno       = 0x00050000
	retTrace       = 0x7ff00000
	retLog         = 0x7ffc0000
	retAllow       = 0x7fff0000
)

const (
	eperm  = 1
	enosys = 38
)

// Compile returns the filter, an array of struct sock_filter in the machine's
// byte order, and the flags to load it with. A nil profile is an empty filter.
func Compile(s *specs.LinuxSeccomp) (filter []byte, flags int, err error) {
	if s == nil {
		return nil, 0, nil
	}
	if s.ListenerPath != "" || s.ListenerMetadata != "" {
		return nil, 0, errors.New("compile seccomp: a listener is not supported")
	}
	for _, f := range s.Flags {
		switch f {
		case specs.LinuxSeccompFlagLog:
			flags |= flagLog
		case specs.LinuxSeccompFlagSpecAllow:
			flags |= flagSpecAllow
		case "SECCOMP_FILTER_FLAG_TSYNC": // the process has one thread after execve
		default:
			return nil, 0, fmt.Errorf("compile seccomp: flag %q is not supported", f)
		}
	}
	program, err := assemble(s)
	if err != nil {
		return nil, 0, fmt.Errorf("compile seccomp: %w", err)
	}
	const most = 4096 // BPF_MAXINSNS
	if len(program) > most {
		return nil, 0, fmt.Errorf("compile seccomp: %d instructions, the kernel takes %d", len(program), most)
	}
	for _, i := range program {
		filter = binary.NativeEndian.AppendUint16(filter, i.code)
		filter = append(filter, i.jt, i.jf)
		filter = binary.NativeEndian.AppendUint32(filter, i.k)
	}
	return filter, flags, nil
}

// architectures of a profile: those listed, and always the machine's own.
func architectures(s *specs.LinuxSeccomp) ([]specs.Arch, error) {
	native, ok := map[string]specs.Arch{"amd64": specs.ArchX86_64, "arm64": specs.ArchAARCH64}[runtime.GOARCH]
	if !ok {
		return nil, fmt.Errorf("no system call table for %s", runtime.GOARCH)
	}
	archs := []specs.Arch{native}
	for _, a := range s.Architectures {
		if _, ok := machines()[a]; ok && !slices.Contains(archs, a) {
			archs = append(archs, a)
		}
	}
	return archs, nil
}

// verdict translates an action.
func verdict(action specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	code := uint32(eperm)
	if errno != nil {
		const most = 4095
		if *errno > most {
			return 0, fmt.Errorf("errno %d is out of range", *errno)
		}
		code = uint32(*errno)
	}
	switch action {
	case specs.ActKill, specs.ActKillThread:
		return retKillThread, nil
	case specs.ActKillProcess:
		return retKillProcess, nil
	case specs.ActTrap:
		return retTrap, nil
	case specs.ActErrno:
		return retErrno | code, nil
	case specs.ActTrace:
		return retTrace | code, nil
	case specs.ActLog:
		return retLog, nil
	case specs.ActAllow:
		return retAllow, nil
	}
	return 0, fmt.Errorf("action %q is not supported", action)
}

// A rule holds if all its conditions do.
type rule struct {
	conditions []specs.LinuxSeccompArg
	verdict    uint32
}

// A call is what the profile says about one system call: the first rule that
// holds, in order; those without conditions come last.
type call struct{ rules []rule }

// rules collects the profile for one machine, by number.
func rules(s *specs.LinuxSeccomp, m machine, def uint32) (map[uint32]*call, error) {
	numbers := m.numbers()
	calls := map[uint32]*call{}
	for _, entry := range s.Syscalls {
		v, err := verdict(entry.Action, entry.ErrnoRet)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", entry.Names, err)
		}
		alternatives, err := split(entry.Args)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", entry.Names, err)
		}
		for _, name := range entry.Names {
			n, ok := numbers[name]
			if !ok {
				continue
			}
			if calls[n] == nil {
				calls[n] = &call{}
			}
			for _, conditions := range alternatives {
				calls[n].rules = append(calls[n].rules, rule{conditions, v})
			}
		}
	}
	for _, c := range calls {
		c.finish(def)
	}
	return calls, nil
}

// split: conditions on different arguments must all hold; if one argument has
// several, each condition is a rule of its own (runc and libseccomp do so).
func split(args []specs.LinuxSeccompArg) ([][]specs.LinuxSeccompArg, error) {
	seen := map[uint]bool{}
	repeated := false
	for _, a := range args {
		if a.Index > 5 {
			return nil, fmt.Errorf("argument %d does not exist", a.Index)
		}
		if _, ok := operators()[a.Op]; !ok {
			return nil, fmt.Errorf("comparison %q is not supported", a.Op)
		}
		repeated = repeated || seen[a.Index]
		seen[a.Index] = true
	}
	if !repeated {
		return [][]specs.LinuxSeccompArg{args}, nil
	}
	var each [][]specs.LinuxSeccompArg
	for _, a := range args {
		each = append(each, []specs.LinuxSeccompArg{a})
	}
	return each, nil
}

// finish puts unconditional rules behind the others, of which only the first
// counts, and ends with the default.
func (c *call) finish(def uint32) {
	var with, without []rule
	for _, r := range c.rules {
		if len(r.conditions) > 0 {
			with = append(with, r)
		} else {
			without = append(without, r)
		}
	}
	c.rules = append(append(with, without...), rule{verdict: def})
	for i, r := range c.rules {
		if len(r.conditions) == 0 {
			c.rules = c.rules[:i+1]
			return
		}
	}
}

// plain reports whether the verdict needs no look at the arguments.
func (c *call) plain() (uint32, bool) {
	for _, r := range c.rules {
		if r.verdict != c.rules[0].verdict {
			return 0, false
		}
	}
	return c.rules[0].verdict, true
}
