package container

import (
	"errors"
	"fmt"

	"devstack/engine/container/seccomp"

	mobyseccomp "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// DefaultSeccomp is Docker's default profile, with the rules that depend on the
// capabilities in s and on this kernel. Process.Capabilities must be set first.
func DefaultSeccomp(s *specs.Spec) (*specs.LinuxSeccomp, error) {
	if err := hasCapabilities(s); err != nil {
		return nil, err
	}
	profile, err := mobyseccomp.GetDefaultProfile(s)
	if err != nil {
		return nil, fmt.Errorf("load default seccomp profile: %w", err)
	}
	return profile, nil
}

// LoadSeccomp reads a profile as security_opt "seccomp=FILE" names it. For
// "unconfined" leave Spec.Linux.Seccomp nil.
func LoadSeccomp(profile []byte, s *specs.Spec) (*specs.LinuxSeccomp, error) {
	if err := hasCapabilities(s); err != nil {
		return nil, err
	}
	p, err := mobyseccomp.LoadProfile(string(profile), s)
	if err != nil {
		return nil, fmt.Errorf("load seccomp profile: %w", err)
	}
	if p != nil { // a mistake shows now and not when the container starts
		if _, _, err := seccomp.Compile(p); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func hasCapabilities(s *specs.Spec) error {
	if s == nil || s.Process == nil || s.Process.Capabilities == nil {
		return errors.New("load seccomp profile: the spec has no capabilities yet")
	}
	return nil
}
