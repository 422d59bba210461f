package engine

import (
	"fmt"
	"strings"
	"testing"

	"devstack/compose"
)

// TestBuildsItself: whether a build needs itself is found in a blink, also
// where many ways lead to one service.
func TestBuildsItself(t *testing.T) {
	const n = 200
	p := &compose.Project{Services: map[string]compose.Service{}}
	for i := range n {
		next := fmt.Sprintf("service:s%d", i+1)
		p.Services[fmt.Sprint("s", i)] = compose.Service{Build: &compose.Build{
			AdditionalContexts: map[string]string{"a": next, "b": next, "dir": "./c"},
		}}
	}
	last := fmt.Sprint("s", n)
	p.Services[last] = compose.Service{Build: &compose.Build{}}
	if err := buildsItself(p, "s0"); err != nil {
		t.Error(err)
	}
	p.Services[last] = compose.Service{Build: &compose.Build{AdditionalContexts: map[string]string{"x": "service:s198"}}}
	if err := buildsItself(p, "s0"); err == nil || !strings.HasSuffix(err.Error(), "s197 -> s198 -> s199 -> s200 -> s198") {
		t.Errorf("error is %v", err)
	}
}
