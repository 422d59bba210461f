package live

import (
	"testing"

	"devstack/compose"
)

// An Up writes into its project, while others read the session's.
func TestUpHasItsOwnProject(t *testing.T) {
	p := &compose.Project{Services: map[string]compose.Service{"web": {}}, Disabled: map[string]compose.Service{"off": {}}}
	own := (&Session{}).upRequest(p, nil).Project
	own.Services["web"] = compose.Service{Name: "web"}
	own.Disabled["other"] = compose.Service{}
	if p.Services["web"].Name != "" || len(p.Disabled) != 1 {
		t.Errorf("the session's project has changed: %v, %v", p.Services["web"].Name, p.Disabled)
	}
}
