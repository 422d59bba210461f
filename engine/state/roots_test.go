package state

import (
	"regexp"
	"testing"
)

func TestRootsFrom(t *testing.T) {
	tests := []struct {
		name string
		env  map[string]string
		uid  int
		want Roots
	}{
		{"root", map[string]string{"HOME": "/root", "XDG_RUNTIME_DIR": "/run/user/0"}, 0, Roots{"/var/lib/devstack", "/run/devstack"}},
		{"root told otherwise", map[string]string{"DEVSTACK_DATA_ROOT": "/d", "DEVSTACK_RUN_ROOT": "/r/"}, 0, Roots{"/d", "/r"}},
		{"user", map[string]string{"HOME": "/home/u", "XDG_RUNTIME_DIR": "/run/user/7"}, 7, Roots{"/home/u/.local/share/devstack", "/run/user/7/devstack"}},
		{"user with XDG", map[string]string{"HOME": "/home/u", "XDG_DATA_HOME": "/x", "XDG_RUNTIME_DIR": "/y"}, 7, Roots{"/x/devstack", "/y/devstack"}},
		{"user without a runtime dir", map[string]string{"HOME": "/home/u", "XDG_DATA_HOME": "relative"}, 7, Roots{"/home/u/.local/share/devstack", "/tmp/devstack-7"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := RootsFrom(func(k string) string { return tt.env[k] }, tt.uid)
			if got != tt.want {
				t.Errorf("RootsFrom = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestTag(t *testing.T) {
	a, b := Roots{Run: "/run/devstack"}, Roots{Run: "/run/devstack2"}
	if a.Tag() == b.Tag() {
		t.Errorf("two run roots share the tag %s", a.Tag())
	}
	if a.Tag() != (Roots{Run: "/run/devstack/"}).Tag() {
		t.Error("a trailing slash changes the tag")
	}
	if !regexp.MustCompile(`^[0-9a-f]{6}$`).MatchString(a.Tag()) {
		t.Errorf("tag %q is not six hex digits", a.Tag())
	}
}
