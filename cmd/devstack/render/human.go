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

// Size says how much n bytes is, in powers of 1000 as Docker does: "1.234MB".
func Size(n int64) string { return inUnits(float64(n), 1000, 4, "B", "kB", "MB", "GB", "TB") }

// ShortSize has three digits, as Docker shows sizes of images: "1.23MB".
func ShortSize(n int64) string { return inUnits(float64(n), 1000, 3, "B", "kB", "MB", "GB", "TB") }

// BinarySize is in powers of 1024, as Docker shows memory: "1.234MiB".
func BinarySize(n uint64) string {
	return inUnits(float64(n), 1024, 4, "B", "KiB", "MiB", "GiB", "TiB", "PiB")
}

func inUnits(v, base float64, digits int, units ...string) string {
	for v >= base && len(units) > 1 {
		v, units = v/base, units[1:]
	}
	return strconv.FormatFloat(v, 'g', digits, 64) + units[0]
}

// Status is the STATUS column: "Up 3 minutes (healthy)".
func Status(c api.Container, now time.Time) string {
	if c.Started.IsZero() {
		c.Started = now // it is about to execute its program
	}
	switch c.State {
	case api.StateRunning:
		up := "Up " + Duration(now.Sub(c.Started))
		var notes []string
		switch c.Health {
		case "":
		case api.HealthStarting:
			notes = append(notes, "health: starting")
		default:
			notes = append(notes, c.Health)
		}
		if c.Watched {
			notes = append(notes, "watched")
		}
		if notes == nil {
			return up
		}
		return up + " (" + strings.Join(notes, ", ") + ")"
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

// SortPorts puts ports in Docker's order: by the container's port.
func SortPorts(ports []api.Port) []api.Port {
	return slices.SortedFunc(slices.Values(ports), func(a, b api.Port) int {
		return cmp.Or(
			cmp.Compare(a.ContainerPort, b.ContainerPort), cmp.Compare(a.HostIP, b.HostIP),
			cmp.Compare(a.HostPort, b.HostPort), cmp.Compare(a.Protocol, b.Protocol),
		)
	})
}

// Ports is the PORTS column in Docker's order: "443/tcp, 127.0.0.1:8080->80/tcp".
// Neighbouring ports that have the same number outside, or none, are shown as
// one range; those that are mapped to other numbers come last.
func Ports(ports []api.Port) string {
	type span struct{ first, last api.Port }
	var open []span // one for each address and protocol, as they first appear
	var ranges, mapped []string
	for _, p := range SortPorts(ports) {
		if p.HostPort != 0 && p.HostPort != p.ContainerPort {
			mapped = append(mapped, portRange(p, p))
			continue
		}
		i := slices.IndexFunc(open, func(s span) bool {
			return s.last.Protocol == p.Protocol && s.last.HostIP == p.HostIP && (s.last.HostPort == 0) == (p.HostPort == 0)
		})
		switch {
		case i < 0:
			open = append(open, span{p, p})
		case p.ContainerPort == open[i].last.ContainerPort+1:
			open[i].last = p
		default:
			ranges = append(ranges, portRange(open[i].first, open[i].last))
			open[i] = span{p, p}
		}
	}
	for _, s := range open {
		ranges = append(ranges, portRange(s.first, s.last))
	}
	return strings.Join(append(ranges, mapped...), ", ")
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
