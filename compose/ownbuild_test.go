package compose

import (
	"encoding/json"
	"testing"
)

func TestOwnBuild(t *testing.T) {
	for text, want := range map[string]OwnBuild{
		`{}`:                              {},
		`{"x-devstack": {"hold": false}}`: {},
		`{"x-devstack": {"build": {"modes": "plain", "compression": "gzip"}}}`: {Compression: "gzip"},
		`{"x-devstack": {"build": {"modes": "keep", "compression": "zstd"}}}`:  {KeepModes: true, Compression: "zstd"},
	} {
		if got, err := serviceWith(t, text).OwnBuild(); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		`{"x-devstack": 1}`, `{"x-devstack": {"build": "keep"}}`, `{"x-devstack": {"build": {"modes": true}}}`,
		`{"x-devstack": {"build": {"compression": "lzma"}}}`, `{"x-devstack": {"build": {"speed": "high"}}}`,
	} {
		if got, err := serviceWith(t, text).OwnBuild(); err == nil {
			t.Errorf("%s: got %+v, want an error", text, got)
		}
	}
}

func serviceWith(t *testing.T, extensions string) *Service {
	t.Helper()
	var s Service
	if err := json.Unmarshal([]byte(extensions), &s.Extensions); err != nil {
		t.Fatal(err)
	}
	return &s
}
