package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const sysctlRoot = "/proc/sys/net/"

// bridgeSysctls: published ports at 127.0.0.1 need route_localnet (nat's guard
// chain closes what it opens). IPv6 stays off where the network has none.
func (s *Stack) bridgeSysctls(n *netState) error {
	set := [][2]string{{"ipv4/conf/" + n.Bridge + "/route_localnet", "1"}}
	if hasFamily(n.Pools, true) {
		set = append(set, [2]string{"ipv6/conf/" + n.Bridge + "/accept_ra", "0"},
			[2]string{"ipv6/conf/" + n.Bridge + "/accept_dad", "0"},
			[2]string{"ipv6/conf/" + n.Bridge + "/disable_ipv6", "0"})
	} else {
		set = append(set, [2]string{"ipv6/conf/" + n.Bridge + "/disable_ipv6", "1"})
	}
	for _, kv := range set {
		if err := writeSysctl(kv[0], kv[1]); err != nil {
			return err
		}
	}
	return nil
}

// writeSysctl writes below /proc/sys/net as the calling thread's namespace has
// it. A kernel without IPv6 has no file to write.
func writeSysctl(name, value string) error {
	err := os.WriteFile(sysctlRoot+name, []byte(value), 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// readSysctl returns "" for what this kernel does not have.
func readSysctl(name string) string {
	v, _ := os.ReadFile(sysctlRoot + name)
	return strings.TrimSpace(string(v))
}

// forwarding lets the machine pass packets on. That is a switch for the whole
// machine (IPv4's per-interface switch would be needed on every uplink there is
// and ever will be), so it is noted.
func (s *Stack) forwarding(v6 bool) error {
	if readSysctl("ipv4/ip_forward") == "0" {
		if err := writeSysctl("ipv4/ip_forward", "1"); err != nil {
			return fmt.Errorf("turn on forwarding: %w", err)
		}
		s.note("net.ipv4.ip_forward was 0 and is now 1: containers reach other machines through it")
	}
	if !v6 || readSysctl("ipv6/conf/all/forwarding") != "0" {
		return nil
	}
	// A router listens to no router: interfaces that got their addresses from
	// one would lose them, unless told to listen all the same (accept_ra=2).
	listening, _ := filepath.Glob(sysctlRoot + "ipv6/conf/*/accept_ra")
	for _, path := range listening {
		name := strings.TrimPrefix(path, sysctlRoot)
		if readSysctl(name) == "1" {
			if err := writeSysctl(name, "2"); err != nil {
				return fmt.Errorf("keep router advertisements: %w", err)
			}
		}
	}
	if err := writeSysctl("ipv6/conf/all/forwarding", "1"); err != nil {
		return fmt.Errorf("turn on IPv6 forwarding: %w", err)
	}
	s.note("net.ipv6.conf.all.forwarding was 0 and is now 1, accept_ra is now 2 where it was 1: containers reach other machines through it")
	return nil
}
