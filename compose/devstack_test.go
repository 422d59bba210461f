package compose

import (
	"testing"
	"time"
)

func TestHold(t *testing.T) {
	for text, want := range map[string]Hold{
		`{}`:                                       {},
		`{"x-devstack": {}}`:                       {},
		`{"x-devstack": {"hold": true}}`:           {},
		`{"x-devstack": {"hold": false}}`:          {Off: true},
		`{"x-devstack": {"hold": {"drain":"0s"}}}`: {Drain: -1},
		`{"x-devstack": {"hold": {"timeout":"5s","connections":7,"drain":"2s"}}}`: {Timeout: 5 * time.Second, Connections: 7, Drain: 2 * time.Second},
	} {
		if got, err := serviceWith(t, text).Hold(); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		`{"x-devstack": 1}`, `{"x-devstack": {"hold": 3}}`, `{"x-devstack": {"hold": {"timeout": 3}}}`, `{"x-devstack": {"hold": {"timeout": "-3s"}}}`,
		`{"x-devstack": {"hold": {"connections": 0}}}`, `{"x-devstack": {"hold": {"patience": "3s"}}}`,
	} {
		if got, err := serviceWith(t, text).Hold(); err == nil {
			t.Errorf("%s: got %+v, want an error", text, got)
		}
	}
}
