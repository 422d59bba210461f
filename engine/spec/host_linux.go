package spec

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"devstack/engine/container"
)

// available are the capabilities that the engine has itself: nobody can grant
// others, and "all" means no more than these.
func available() []string {
	var data [2]unix.CapUserData
	all := container.AllCapabilities()
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&head, &data[0]); err != nil {
		return all
	}
	have := uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32
	var out []string
	for n, name := range all {
		if have>>n&1 == 1 {
			out = append(out, name)
		}
	}
	return out
}

// hasAppArmor tells whether the kernel enforces AppArmor profiles.
func hasAppArmor() bool {
	b, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return err == nil && strings.HasPrefix(string(b), "Y")
}
