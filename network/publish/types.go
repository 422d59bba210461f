package publish

import (
	"fmt"
	"net/netip"
)

// Spec is a port to publish.
type Spec struct {
	Key         string     // "project/service/target/proto": names the port for SetBackends and Unpublish
	HostIP      netip.Addr // zero: loopback, IPv4 and IPv6
	HostPort    uint16     // first of the range; 0: any free port
	HostPortEnd uint16     // last of the range; 0: same as HostPort
	Proto       string     // "tcp" (default) or "udp"
	Project     string     // said to whom the port is refused
}

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
