package main

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestDetachKeys(t *testing.T) {
	for _, test := range []struct {
		keys, in, want string
		detached       bool
	}{
		{detachDefault, "ls\x10\x11more", "ls", true},
		{detachDefault, "\x10x\x10\x10\x11", "\x10x\x10", true},
		{detachDefault, "a\x10", "a", false}, // the rest may still come
		{"a,b,ctrl-]", "aab\x1d", "a", true},
		{"ctrl-@", "x\x00y", "x", true},
	} {
		keys, err := parseKeys(test.keys)
		if err != nil {
			t.Fatal(err)
		}
		for name, in := range map[string]io.Reader{"whole": strings.NewReader(test.in), "bytewise": iotest.OneByteReader(strings.NewReader(test.in))} {
			detached := false
			got, err := io.ReadAll(&detachReader{in: in, keys: keys, detach: func() { detached = true }})
			if err != nil || string(got) != test.want || detached != test.detached {
				t.Errorf("%s %q, %s: %q, %v, %v, want %q, %v", test.keys, test.in, name, got, detached, err, test.want, test.detached)
			}
		}
	}
	for _, bad := range []string{"", "ctrl-", "ctrl-pp", "ab", "a,,b", "ctrl-1"} {
		if keys, err := parseKeys(bad); err == nil {
			t.Errorf("parseKeys(%q) = %q", bad, keys)
		}
	}
}
