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
