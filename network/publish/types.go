package publish

import (
	"fmt"
	"net/netip"
	"time"
)

// Spec is a port to publish.
type Spec struct {
	Key         string     // "project/service/target/proto": names the port for SetBackends and Unpublish
	HostIP      netip.Addr // zero: loopback, IPv4 and IPv6
	HostPort    uint16     // first of the range; 0: any free port
	HostPortEnd uint16     // last of the range; 0: same as HostPort
	Proto       string     // "tcp" (default) or "udp"
	Project     string     // said to whom the port is refused
	Hold        Hold       // what becomes of connections while nobody serves
}

// Hold says how connections are held while no backend takes them. The zero
// value is the default.
type Hold struct {
	Off         bool          // they are closed at once
	Timeout     time.Duration // how long one waits, and a new backend may refuse; 0: 30 s
	Connections int           // how many wait at a time, more stay in the backlog; 0: 1024
}

func (h *Hold) normalize() {
	if h.Timeout <= 0 {
		h.Timeout = holdTime
	}
	if h.Connections <= 0 {
		h.Connections = maxHeld
	}
}

// Defaults of Hold.
const (
	maxHeld  = 1024
	holdTime = 30 * time.Second
)

// Published is where a port was published.
type Published struct {
	HostIP   netip.Addr
	HostPort uint16
	Proto    string
	New      bool // opened by this call, not by an earlier one
}

// TakenError says who has a port.
type TakenError struct {
	Addr    netip.AddrPort
	Proto   string
	PID     int    // 0: unknown
	Command string // of PID
	Project string // the devstack project that published it
}

func (e *TakenError) Error() string {
	s := fmt.Sprintf("port %s/%s is already in use", e.Addr, e.Proto)
	switch {
	case e.Project != "":
		return s + fmt.Sprintf(" by devstack project %q", e.Project)
	case e.PID != 0:
		return s + fmt.Sprintf(" by %s (pid %d)", e.Command, e.PID)
	}
	return s
}
