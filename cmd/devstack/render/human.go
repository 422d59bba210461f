package render

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"devstack/engine/api"
)

// Duration says how long d is in Docker's words: "3 minutes", "About an hour".
func Duration(d time.Duration) string {
	seconds, minutes, hours := int(d.Seconds()), int(d.Minutes()), int(d.Hours()+0.5)
	switch {
	case seconds < 1:
		return "Less than a second"
	case seconds == 1:
		return "1 second"
	case seconds < 60:
		return fmt.Sprintf("%d seconds", seconds)
	case minutes == 1:
		return "About a minute"
	case minutes < 60:
		return fmt.Sprintf("%d minutes", minutes)
	case hours == 1:
		return "About an hour"
	case hours < 48:
		return fmt.Sprintf("%d hours", hours)
	case hours < 24*7*2:
		return fmt.Sprintf("%d days", hours/24)
	case hours < 24*30*2:
		return fmt.Sprintf("%d weeks", hours/24/7)
	case hours < 24*365*2:
		return fmt.Sprintf("%d months", hours/24/30)
	}
	return fmt.Sprintf("%d years", int(d.Hours())/24/365)
}

// Size says how much n bytes is, in powers of 1000 as Docker does: "1.2MB".
func Size(n int64) string {
	units := [...]string{"B", "kB", "MB", "GB", "TB"}
	v, u := float64(n), 0
	for v >= 1000 && u < len(units)-1 {
		v, u = v/1000, u+1
	}
	return strconv.FormatFloat(v, 'g', 4, 64) + units[u]
}

// Status is the STATUS column: "Up 3 minutes (healthy)".
func Status(c api.Container, now time.Time) string {
	switch c.State {
	case api.StateRunning:
		up := "Up " + Duration(now.Sub(c.Started))
		switch c.Health {
		case "":
			return up
		case api.HealthStarting:
			return up + " (health: starting)"
		}
		return up + " (" + c.Health + ")"
	case api.StatePaused:
		return "Up " + Duration(now.Sub(c.Started)) + " (Paused)"
	case api.StateRestarting:
		return fmt.Sprintf("Restarting (%d) %s ago", c.ExitCode, Duration(now.Sub(c.Finished)))
	case api.StateExited:
		if c.Finished.IsZero() {
			return fmt.Sprintf("Exited (%d)", c.ExitCode)
		}
		status := fmt.Sprintf("Exited (%d) %s ago", c.ExitCode, Duration(now.Sub(c.Finished)))
		if c.OOMKilled {
			status += " (out of memory)"
		}
		return status
	case api.StateRemoving:
		return "Removal In Progress"
	case api.StateCreated:
		return "Created"
	}
	return c.State
}

// Ports is the PORTS column in Docker's order: "443/tcp, 127.0.0.1:8080->80/tcp".
// Neighbouring ports that have the same number outside, or none, are shown as
// one range.
func Ports(ports []api.Port) string {
	ps := slices.Clone(ports)
	slices.SortFunc(ps, func(a, b api.Port) int {
		return cmp.Or(
			cmp.Compare(a.HostIP, b.HostIP), cmp.Compare(a.Protocol, b.Protocol),
			cmp.Compare(a.ContainerPort, b.ContainerPort), cmp.Compare(a.HostPort, b.HostPort),
		)
	})
	var ranges, mapped []string
	for i := 0; i < len(ps); {
		p := ps[i]
		if p.HostPort != 0 && p.HostPort != p.ContainerPort {
			mapped = append(mapped, portRange(p, p))
			i++
			continue
		}
		j := i + 1
		for j < len(ps) && follows(ps[j-1], ps[j]) {
			j++
		}
		ranges = append(ranges, portRange(p, ps[j-1]))
		i = j
	}
	return strings.Join(append(ranges, mapped...), ", ")
}

// follows reports whether b continues a range that ends with a.
func follows(a, b api.Port) bool {
	return a.Protocol == b.Protocol && a.HostIP == b.HostIP && b.ContainerPort == a.ContainerPort+1 &&
		(a.HostPort == 0) == (b.HostPort == 0) && (b.HostPort == 0 || b.HostPort == b.ContainerPort)
}

func portRange(first, last api.Port) string {
	target := span(first.ContainerPort, last.ContainerPort) + "/" + first.Protocol
	if first.HostPort == 0 {
		return target
	}
	return net.JoinHostPort(first.HostIP, span(first.HostPort, last.HostPort)) + "->" + target
}

func span(first, last uint16) string {
	if first == last {
		return strconv.Itoa(int(first))
	}
	return strconv.Itoa(int(first)) + "-" + strconv.Itoa(int(last))
}
