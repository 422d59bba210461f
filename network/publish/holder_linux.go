package publish

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"
)

// holder finds who has bound an address: its inode in /proc/net, then the
// process with a descriptor for that inode. Only a taken port pays for this.
func holder(proto string, at netip.AddrPort) (pid int, command string) {
	inodes := map[string]bool{}
	for _, name := range []string{proto, proto + "6"} {
		data, err := os.ReadFile("/proc/net/" + name)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
			f := strings.Fields(lines.Text())
			if len(f) < 10 {
				continue
			}
			local, ok := parseLocal(f[1])
			listening := f[3] == "0A" || proto == "udp"
			if ok && listening && blocks(local, at) {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	if len(inodes) == 0 {
		return 0, ""
	}
	return owner(inodes)
}

// blocks reports whether a socket at local keeps at from being bound. An IPv6
// wildcard usually takes IPv4 too.
func blocks(local, at netip.AddrPort) bool {
	if local.Port() != at.Port() {
		return false
	}
	a := local.Addr().Unmap()
	return a == at.Addr() || local.Addr().IsUnspecified() || at.Addr().IsUnspecified() && a.Is4() == at.Addr().Is4()
}

// parseLocal reads an address of /proc/net: words in host order, in hex.
func parseLocal(s string) (netip.AddrPort, bool) {
	host, number, ok := strings.Cut(s, ":")
	if !ok {
		return netip.AddrPort{}, false
	}
	raw, err := hex.DecodeString(host)
	n, err2 := strconv.ParseUint(number, 16, 16)
	if err != nil || err2 != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	if littleEndian() {
		for i := 0; i < len(raw); i += 4 {
			raw[i], raw[i+1], raw[i+2], raw[i+3] = raw[i+3], raw[i+2], raw[i+1], raw[i]
		}
	}
	a, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a, uint16(n)), ok
}

func littleEndian() bool {
	one := uint16(1)
	return *(*byte)(unsafe.Pointer(&one)) == 1
}

func owner(inodes map[string]bool) (int, string) {
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return 0, ""
	}
	for _, e := range procs {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		dir := filepath.Join("/proc", e.Name(), "fd")
		fds, err := os.ReadDir(dir)
		if err != nil {
			continue // gone, or not ours to see
		}
		for _, fd := range fds {
			if to, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && inodes[to] {
				return pid, commandOf(e.Name())
			}
		}
	}
	return 0, ""
}

func commandOf(pid string) string {
	data, err := os.ReadFile(filepath.Join("/proc", pid, "comm"))
	if err != nil {
		return "a process"
	}
	return strings.TrimSpace(string(data))
}
