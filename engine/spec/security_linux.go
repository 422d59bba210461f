package spec

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"devstack/compose"
	"devstack/engine/container"
)

// Security is what security_opt asks for.
type Security struct {
	NoNewPrivileges  bool
	Seccomp          string // "" default, "unconfined", or the path of a profile
	SystemPathsFree  bool   // systempaths=unconfined
	AppArmorProfile  string
	AppArmorDisabled bool
}

// ParseSecurityOpt reads security_opt; both KEY=VALUE and the older KEY:VALUE.
func ParseSecurityOpt(opts []string) (Security, error) {
	var sec Security
	for _, opt := range opts {
		if opt == "no-new-privileges" {
			sec.NoNewPrivileges = true
			continue
		}
		key, value, ok := strings.Cut(opt, "=")
		if !ok {
			key, value, ok = strings.Cut(opt, ":")
		}
		if !ok {
			return Security{}, fmt.Errorf("security_opt %q: want KEY=VALUE", opt)
		}
		switch key {
		case "no-new-privileges":
			if value != "true" && value != "false" {
				return Security{}, fmt.Errorf("security_opt %q: want true or false", opt)
			}
			sec.NoNewPrivileges = value == "true"
		case "seccomp":
			sec.Seccomp = value
		case "systempaths":
			if value != "unconfined" {
				return Security{}, fmt.Errorf("security_opt %q: want systempaths=unconfined", opt)
			}
			sec.SystemPathsFree = true
		case "apparmor":
			sec.AppArmorProfile = value
			sec.AppArmorDisabled = value == "unconfined"
		case "label":
			// SELinux labels have no effect where SELinux does not run.
		default:
			return Security{}, fmt.Errorf("security_opt %q: unknown option %q", opt, key)
		}
	}
	return sec, nil
}

// seccompProfile loads what sec asks for; nil means unconfined. The default
// depends on the capabilities that spec grants. Relative paths begin at dir.
func seccompProfile(sec Security, dir string, spec *specs.Spec) (*specs.LinuxSeccomp, error) {
	switch sec.Seccomp {
	case "unconfined":
		return nil, nil
	case "", "builtin":
		return container.DefaultSeccomp(spec)
	}
	path := sec.Seccomp
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read seccomp profile: %w", err)
	}
	return container.LoadSeccomp(b, spec)
}

// Capabilities is the set that a service's container keeps: def plus cap_add
// less cap_drop, where ALL stands for every one, as in Docker.
func Capabilities(s *compose.Service, def, all []string) ([]string, error) {
	if s.Privileged {
		return all, nil
	}
	add, err := normalizeCaps(s.CapAdd)
	if err != nil {
		return nil, fmt.Errorf("cap_add: %w", err)
	}
	for _, c := range add {
		if c != "ALL" && !slices.Contains(all, c) {
			return nil, fmt.Errorf("cap_add: the engine has no %s itself", c)
		}
	}
	drop, err := normalizeCaps(s.CapDrop)
	if err != nil {
		return nil, fmt.Errorf("cap_drop: %w", err)
	}
	base := def
	switch {
	case slices.Contains(add, "ALL"):
		base = all
	case slices.Contains(drop, "ALL"):
		base = nil
	}
	var out []string
	for _, c := range all {
		in := slices.Contains(base, c)
		if slices.Contains(add, c) {
			in = true
		}
		if slices.Contains(drop, c) {
			in = false
		}
		if in {
			out = append(out, c)
		}
	}
	return out, nil
}

func normalizeCaps(names []string) ([]string, error) {
	var out []string
	for _, n := range names {
		c := strings.ToUpper(n)
		if c == "ALL" || c == "CAP_ALL" {
			out = append(out, "ALL")
			continue
		}
		if !strings.HasPrefix(c, "CAP_") {
			c = "CAP_" + c
		}
		if !slices.Contains(container.AllCapabilities(), c) {
			return nil, fmt.Errorf("unknown capability %q", n)
		}
		out = append(out, c)
	}
	return out, nil
}
