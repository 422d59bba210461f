package dns

import (
	"bufio"
	"bytes"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// Host is the machine's own resolvers, read again when the file has changed.
type Host struct {
	Path string // default: /etc/resolv.conf

	mu      sync.Mutex
	changed time.Time
	servers []netip.AddrPort
}

// Servers returns the resolvers of the host. It costs a stat where nothing changed.
func (h *Host) Servers() []netip.AddrPort {
	path := h.Path
	if path == "" {
		path = "/etc/resolv.conf"
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	info, err := os.Stat(path)
	if err != nil {
		return h.servers
	}
	if h.servers != nil && info.ModTime().Equal(h.changed) {
		return h.servers
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return h.servers
	}
	h.servers, h.changed = nameservers(data), info.ModTime()
	return h.servers
}

func nameservers(resolvConf []byte) []netip.AddrPort {
	var out []netip.AddrPort
	for lines := bufio.NewScanner(bytes.NewReader(resolvConf)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil {
			out = append(out, netip.AddrPortFrom(a, 53))
		}
	}
	return out
}
