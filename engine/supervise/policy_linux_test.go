package supervise

import (
	"testing"
	"time"

	"devstack/compose"
)

func TestPolicyNext(t *testing.T) {
	two := uint64(2)
	five := compose.Duration(5 * time.Second)
	deploy := func(condition string) *compose.Deploy {
		return &compose.Deploy{RestartPolicy: &compose.RestartPolicy{Condition: condition, MaxAttempts: &two, Delay: &five}}
	}
	tests := []struct {
		name     string
		service  compose.Service
		code     int
		attempts int
		delay    time.Duration
		again    bool
	}{
		{"none", compose.Service{}, 1, 0, 0, false},
		{"no", compose.Service{Restart: "no"}, 1, 0, 0, false},
		{"no wins over deploy", compose.Service{Restart: "no", Deploy: deploy("any")}, 1, 0, 0, false},
		{"always after success", compose.Service{Restart: "always"}, 0, 0, 100 * time.Millisecond, true},
		{"always backs off", compose.Service{Restart: "always"}, 1, 3, 800 * time.Millisecond, true},
		{"always up to a minute", compose.Service{Restart: "always"}, 1, 40, time.Minute, true},
		{"unless-stopped", compose.Service{Restart: "unless-stopped"}, 0, 0, 100 * time.Millisecond, true},
		{"on-failure after success", compose.Service{Restart: "on-failure"}, 0, 0, 0, false},
		{"on-failure", compose.Service{Restart: "on-failure"}, 1, 9, 51200 * time.Millisecond, true},
		{"on-failure:3, third time", compose.Service{Restart: "on-failure:3"}, 1, 2, 400 * time.Millisecond, true},
		{"on-failure:3, enough", compose.Service{Restart: "on-failure:3"}, 1, 3, 0, false},
		{"deploy any", compose.Service{Deploy: deploy("any")}, 0, 1, 5 * time.Second, true},
		{"deploy any is the default", compose.Service{Deploy: deploy("")}, 0, 0, 5 * time.Second, true},
		{"deploy, enough", compose.Service{Deploy: deploy("any")}, 0, 2, 0, false},
		{"deploy none", compose.Service{Deploy: deploy("none")}, 1, 0, 0, false},
		{"deploy on-failure", compose.Service{Deploy: deploy("on-failure")}, 0, 0, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			delay, again := policyOf(&tt.service).next(tt.code, time.Second, tt.attempts)
			if delay != tt.delay || again != tt.again {
				t.Errorf("next = %s, %v; want %s, %v", delay, again, tt.delay, tt.again)
			}
		})
	}
}

func TestStopTimeout(t *testing.T) {
	asked, own := compose.Duration(time.Second), compose.Duration(3*time.Second)
	s := compose.Service{}
	if got := stopTimeout(&s, nil); got != 10*time.Second {
		t.Errorf("default = %s, want 10s", got)
	}
	s.StopGracePeriod = &own
	if got := stopTimeout(&s, nil); got != 3*time.Second {
		t.Errorf("the service's own = %s, want 3s", got)
	}
	if got := stopTimeout(&s, &asked); got != time.Second {
		t.Errorf("asked for = %s, want 1s", got)
	}
}
