package fetch

import (
	"testing"
	"time"
)

func TestPolicyOfAge(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for s, fresh := range map[string][2]bool{ // after an hour, after ten days
		"": {true, true}, "missing": {true, true}, "if_not_present": {true, true}, "never": {true, true}, "always": {false, false},
		"daily": {true, false}, "weekly": {true, false}, "every_30m": {false, false}, "every_2w": {true, true}, "every_1w2d": {true, false}, "every_1h1s": {true, false},
	} {
		p, err := parsePolicy(s)
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		for i, age := range []time.Duration{time.Hour, 240 * time.Hour} {
			if got := p.fresh(now.Add(-age), now); got != fresh[i] {
				t.Errorf("%q after %v: fresh %v", s, age, got)
			}
		}
	}
	for _, s := range []string{"sometimes", "every_", "every_5", "every_h", "every_1y", "every_-1h", "every_0s", "every_99999999999999999999h"} {
		if _, err := parsePolicy(s); err == nil {
			t.Errorf("%q is taken for a policy", s)
		}
	}
}
