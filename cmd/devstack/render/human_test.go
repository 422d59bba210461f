package render

import (
	"testing"
	"time"

	"devstack/engine/api"
)

func TestDuration(t *testing.T) {
	tests := map[time.Duration]string{
		0:                     "Less than a second",
		-time.Second:          "Less than a second",
		time.Second:           "1 second",
		59 * time.Second:      "59 seconds",
		time.Minute:           "About a minute",
		59 * time.Minute:      "59 minutes",
		time.Hour:             "About an hour",
		89 * time.Minute:      "About an hour",
		90 * time.Minute:      "2 hours",
		47 * time.Hour:        "47 hours",
		13 * 24 * time.Hour:   "13 days",
		21 * 24 * time.Hour:   "3 weeks",
		100 * 24 * time.Hour:  "3 months",
		1000 * 24 * time.Hour: "2 years",
	}
	for d, want := range tests {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestStatus(t *testing.T) {
	now := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	at := func(ago time.Duration) time.Time { return now.Add(-ago) }
	tests := []struct {
		c    api.Container
		want string
	}{
		{api.Container{State: api.StateRunning, Started: at(3 * time.Minute)}, "Up 3 minutes"},
		{api.Container{State: api.StateRunning, Health: api.HealthHealthy, Started: at(time.Second)}, "Up 1 second (healthy)"},
		{api.Container{State: api.StateRunning, Health: api.HealthStarting, Started: at(0)}, "Up Less than a second (health: starting)"},
		{api.Container{State: api.StatePaused, Started: at(time.Hour)}, "Up About an hour (Paused)"},
		{api.Container{State: api.StateExited, ExitCode: 137, Finished: at(2 * time.Second)}, "Exited (137) 2 seconds ago"},
		{api.Container{State: api.StateExited, ExitCode: 137, OOMKilled: true, Finished: at(2 * time.Second)}, "Exited (137) 2 seconds ago (out of memory)"},
		{api.Container{State: api.StateExited, ExitCode: 1}, "Exited (1)"},
		{api.Container{State: api.StateRestarting, ExitCode: 1, Finished: at(2 * time.Second)}, "Restarting (1) 2 seconds ago"},
		{api.Container{State: api.StateCreated}, "Created"},
		{api.Container{State: api.StateRemoving}, "Removal In Progress"},
	}
	for _, tt := range tests {
		if got := Status(tt.c, now); got != tt.want {
			t.Errorf("Status(%s) = %q, want %q", tt.c.State, got, tt.want)
		}
	}
}

func TestPorts(t *testing.T) {
	p := func(ip string, host, container uint16, proto string) api.Port {
		return api.Port{HostIP: ip, HostPort: host, ContainerPort: container, Protocol: proto}
	}
	tests := []struct {
		ports []api.Port
		want  string
	}{
		{nil, ""},
		{[]api.Port{p("127.0.0.1", 8080, 80, "tcp")}, "127.0.0.1:8080->80/tcp"},
		{[]api.Port{p("127.0.0.1", 8080, 80, "tcp"), p("", 0, 443, "tcp")}, "443/tcp, 127.0.0.1:8080->80/tcp"},
		{[]api.Port{p("::1", 53, 53, "udp")}, "[::1]:53->53/udp"},
		{
			[]api.Port{p("127.0.0.1", 9002, 9002, "tcp"), p("127.0.0.1", 9001, 9001, "tcp"), p("127.0.0.1", 9004, 9004, "tcp")},
			"127.0.0.1:9001-9002->9001-9002/tcp, 127.0.0.1:9004->9004/tcp",
		},
		{[]api.Port{p("", 0, 80, "tcp"), p("", 0, 81, "tcp"), p("", 0, 81, "udp")}, "80-81/tcp, 81/udp"},
	}
	for _, tt := range tests {
		if got := Ports(tt.ports); got != tt.want {
			t.Errorf("Ports(%v) = %q, want %q", tt.ports, got, tt.want)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0B", 999: "999B", 1500: "1.5kB", 12_345_678: "12.35MB", 5_000_000_000: "5GB"} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
}
