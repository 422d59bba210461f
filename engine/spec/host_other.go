//go:build !linux

package spec

import (
	"errors"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"devstack/engine/container"
)

func available() []string { return container.AllCapabilities() }

func hasAppArmor() bool { return false }

func hostDevices(string, string) ([]specs.LinuxDevice, error) { return nil, errors.ErrUnsupported }

func allHostDevices() []specs.LinuxDevice { return nil }

func deviceNumbers(string) (major, minor int64, err error) { return 0, 0, errors.ErrUnsupported }
