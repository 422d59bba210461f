package supervise

import (
	"testing"
	"time"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/state"
)

func TestHolds(t *testing.T) {
	at := time.Unix(1, 0)
	run := func(s, health string, code int, started bool) state.Container {
		c := state.Container{Name: "p-s-1", Run: state.Run{State: s, Health: health, ExitCode: code}}
		if started {
			c.Started = at
		}
		return c
	}
	const none, yes, broken = "not yet", "yes", "broken"
	tests := []struct {
		name      string
		condition string
		container state.Container
		want      string
	}{
		{"created is not started", compose.ConditionStarted, run(api.StateCreated, "", 0, false), none},
		{"running is started", compose.ConditionStarted, run(api.StateRunning, "", 0, true), yes},
		{"exited was started", compose.ConditionStarted, run(api.StateExited, "", 1, true), yes},
		{"starting is not healthy", compose.ConditionHealthy, run(api.StateRunning, api.HealthStarting, 0, true), none},
		{"healthy", compose.ConditionHealthy, run(api.StateRunning, api.HealthHealthy, 0, true), yes},
		{"unhealthy", compose.ConditionHealthy, run(api.StateRunning, api.HealthUnhealthy, 0, true), broken},
		{"no healthcheck", compose.ConditionHealthy, run(api.StateRunning, "", 0, true), broken},
		{"exited is not healthy", compose.ConditionHealthy, run(api.StateExited, "", 0, true), broken},
		{"running has not completed", compose.ConditionCompleted, run(api.StateRunning, "", 0, true), none},
		{"completed", compose.ConditionCompleted, run(api.StateExited, "", 0, true), yes},
		{"failed", compose.ConditionCompleted, run(api.StateExited, "", 3, true), broken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ok, err := holds(tt.condition, []state.Container{tt.container})
			got := none
			switch {
			case err != nil:
				got = broken
			case ok:
				got = yes
			}
			if got != tt.want {
				t.Errorf("holds = %s (%v), want %s", got, err, tt.want)
			}
		})
	}
	if ok, err := holds(compose.ConditionHealthy, nil); !ok || err != nil {
		t.Errorf("a service scaled to zero: %v, %v; want it to hold", ok, err)
	}
}

func TestUnsettled(t *testing.T) {
	now := time.Unix(1000, 0)
	run := func(age time.Duration, restarts int, health string) state.Container {
		return state.Container{Run: state.Run{State: api.StateRunning, Started: now.Add(-age), Restarts: restarts, Health: health}}
	}
	tests := []struct {
		name string
		recs []state.Container
		want time.Duration
	}{
		{"new", []state.Container{run(0, 0, "")}, settle},
		{"settled", []state.Container{run(settle, 0, "")}, 0},
		{"its healthcheck knows better", []state.Container{run(0, 3, api.HealthHealthy)}, 0},
		{"died once", []state.Container{run(settle, 1, "")}, settle},
		{"died often", []state.Container{run(0, 1000, "")}, stableRun},
		{"died long ago", []state.Container{run(stableRun, 1000, "")}, 0},
		{"the youngest counts", []state.Container{run(settle, 0, ""), run(0, 0, "")}, settle},
	}
	for _, tt := range tests {
		if got := unsettled(tt.recs, now); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// What is being started is running already, but not up.
func TestReadyNeedsTheProgram(t *testing.T) {
	c := state.Container{Run: state.Run{State: api.StateRunning}}
	if ok, err := ready([]state.Container{c}, false); ok || err != nil {
		t.Errorf("before its start: %v, %v", ok, err)
	}
	c.Started = time.Unix(1, 0)
	if ok, err := ready([]state.Container{c}, false); !ok || err != nil {
		t.Errorf("after it: %v, %v", ok, err)
	}
}

func TestLoops(t *testing.T) {
	recs := []state.Container{{Name: "p-s-1", Run: state.Run{State: api.StateRestarting, Restarts: maxRestarts, ExitCode: 7}}}
	if err := loops(recs, map[string]int{"p-s-1": 1}); err != nil {
		t.Errorf("before the last restart: %v", err)
	}
	err := loops(recs, nil)
	if err == nil || err.Error() != "container p-s-1 exits again and again (7), after 8 restarts" {
		t.Error(err)
	}
	recs[0].State = api.StateRunning
	if err := loops(recs, nil); err != nil {
		t.Errorf("while it runs: %v", err)
	}
}
