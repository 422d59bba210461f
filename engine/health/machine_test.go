package health

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"devstack/engine/api"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// probe answers for a moment of the run: how long the probe takes and what it says.
type probe func(at time.Duration) (takes time.Duration, healthy bool)

// play runs m for a span of imaginary time and gives a line for every probe.
func play(m *Machine, span time.Duration, p probe) []string {
	var lines []string
	for at := time.Duration(0); ; {
		at += m.Next(epoch.Add(at))
		if at > span {
			return lines
		}
		takes, healthy := p(at)
		r := Result{Start: epoch.Add(at), End: epoch.Add(at + takes), Healthy: healthy}
		at += takes
		state, changed := m.Report(r)
		line := fmt.Sprintf("%v %s %d", r.Start.Sub(epoch), state, m.Failures())
		if changed {
			line += " !"
		}
		lines = append(lines, line)
	}
}

func never(time.Duration) (time.Duration, bool)  { return 0, false }
func always(time.Duration) (time.Duration, bool) { return 0, true }
func from(ready time.Duration) probe {
	return func(at time.Duration) (time.Duration, bool) { return 0, at >= ready }
}

func check(interval time.Duration, retries int) Check {
	return Check{Interval: interval, Timeout: interval, StartInterval: interval, Retries: retries}
}

func TestMachine(t *testing.T) {
	inStart := Check{Interval: time.Second, StartInterval: 300 * time.Millisecond, StartPeriod: time.Second, Retries: 2}
	tests := []struct {
		name  string
		check Check
		span  time.Duration
		probe probe
		want  string
	}{
		{
			name: "healthy at once, then one probe an interval", check: check(time.Second, 3),
			span: 2 * time.Second, probe: always,
			want: `
				0s healthy 0 !
				1s healthy 0
				2s healthy 0`,
		},
		{
			name: "backs off until it is healthy", check: check(time.Second, 3),
			span: 2 * time.Second, probe: from(100 * time.Millisecond),
			want: `
				0s starting 0
				10ms starting 0
				30ms starting 0
				70ms starting 0
				150ms healthy 0 !
				1.15s healthy 0`,
		},
		{
			name: "unhealthy after retries intervals, not after retries probes", check: check(time.Second, 3),
			span: 4 * time.Second, probe: never,
			want: `
				0s starting 0
				10ms starting 0
				30ms starting 0
				70ms starting 0
				150ms starting 0
				310ms starting 0
				630ms starting 0
				1s starting 1
				2s starting 2
				3s unhealthy 3 !
				4s unhealthy 4`,
		},
		{
			name: "failures in start_period do not count", check: inStart,
			span: 4 * time.Second, probe: never,
			want: `
				0s starting 0
				10ms starting 0
				30ms starting 0
				70ms starting 0
				150ms starting 0
				310ms starting 0
				610ms starting 0
				910ms starting 0
				1.21s starting 0
				2s starting 1
				3s unhealthy 2 !
				4s unhealthy 3`,
		},
		{
			name: "a success ends the start", check: inStart,
			span:  3 * time.Second,
			probe: func(at time.Duration) (time.Duration, bool) { return 0, at < 50*time.Millisecond },
			want: `
				0s healthy 0 !
				1s healthy 1
				2s unhealthy 2 !
				3s unhealthy 3`,
		},
		{
			name: "one success is enough to recover", check: check(time.Second, 1),
			span:  4 * time.Second,
			probe: func(at time.Duration) (time.Duration, bool) { return 0, at != 2*time.Second },
			want: `
				0s healthy 0 !
				1s healthy 0
				2s unhealthy 1 !
				3s healthy 0 !
				4s healthy 0`,
		},
		{
			name: "failures must follow each other", check: check(time.Second, 2),
			span:  6 * time.Second,
			probe: func(at time.Duration) (time.Duration, bool) { return 0, at%(2*time.Second) == 0 },
			want: `
				0s healthy 0 !
				1s healthy 1
				2s healthy 0
				3s healthy 1
				4s healthy 0
				5s healthy 1
				6s healthy 0`,
		},
		{
			name: "probes that hang count from their end", check: check(time.Second, 2),
			span:  20 * time.Second,
			probe: func(time.Duration) (time.Duration, bool) { return 5 * time.Second, false },
			want: `
				0s starting 0
				6s starting 1
				12s unhealthy 2 !
				18s unhealthy 3`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := play(NewMachine(tt.check, epoch), tt.span, tt.probe)
			want := strings.Fields(strings.ReplaceAll(strings.TrimSpace(tt.want), "\n", " \n"))
			if diff := cmp.Diff(want, strings.Fields(strings.Join(got, " "))); diff != "" {
				t.Errorf("got:\n%s\n(-want +got):\n%s", strings.Join(got, "\n"), diff)
			}
		})
	}
}

func TestAdoptedMachine(t *testing.T) {
	now := epoch.Add(time.Hour)
	began := epoch
	m := AdoptMachine(check(time.Second, 1), began, now, api.HealthHealthy)
	if m.State() != api.HealthHealthy || m.Next(now) != 0 {
		t.Fatalf("adopted: state %s, next probe in %v; want healthy, at once", m.State(), m.Next(now))
	}
	// The engine's own restart must not be what makes a container unhealthy.
	if state, _ := m.Report(Result{Start: now, End: now}); state != api.HealthHealthy {
		t.Errorf("after one failure right after the adoption: %s", state)
	}
	later := now.Add(m.Next(now))
	if state, changed := m.Report(Result{Start: later, End: later}); state != api.HealthUnhealthy || !changed {
		t.Errorf("after one failure an interval later: %s, changed %v", state, changed)
	}
}

// TestNeverEarlierThanCompose holds the promise of the package for any check
// and any duration of the probes.
func TestNeverEarlierThanCompose(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	upTo := func(d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d))) }
	for range 2000 {
		c := Check{
			Interval:      time.Millisecond + upTo(10*time.Second),
			StartInterval: time.Millisecond + upTo(5*time.Second),
			StartPeriod:   upTo(20 * time.Second),
			Retries:       1 + rng.IntN(5),
		}
		m := NewMachine(c, epoch)
		at, probes := time.Duration(0), 0
		for m.State() != api.HealthUnhealthy {
			next := m.Next(epoch.Add(at))
			if next < 0 || next > max(c.Interval, c.StartInterval) {
				t.Fatalf("%+v: next probe in %v", c, next)
			}
			at += next
			takes := upTo(200 * time.Millisecond)
			m.Report(Result{Start: epoch.Add(at), End: epoch.Add(at + takes)})
			at += takes
			if probes++; probes > 100000 {
				t.Fatalf("%+v: never unhealthy", c)
			}
		}
		if earliest := c.StartPeriod + time.Duration(c.Retries)*c.Interval; at < earliest {
			t.Fatalf("%+v: unhealthy after %v, earliest is %v", c, at, earliest)
		}
	}
}
