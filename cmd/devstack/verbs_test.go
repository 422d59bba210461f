package main

import (
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestVerbOf(t *testing.T) {
	flags := pflag.NewFlagSet("devstack", pflag.ContinueOnError)
	addGlobalFlags(flags, &env{})
	flags.Bool("dry-run", false, "")
	tests := map[string][]string{
		"":        {},
		"ps":      {"ps"},
		"up":      {"-f", "ps", "up", "-d"},
		"down":    {"-fps", "--project-name=ps", "--profile", "x", "down"},
		"logs":    {"--dry-run", "-p", "x", "logs", "-f"},
		"config":  {"--env-file", "ps", "--progress", "plain", "config"},
		"version": {"-v", "version"},
		"--":      {"--", "ps"},
	}
	for want, args := range tests {
		if got := verbOf(flags, args); got != want {
			t.Errorf("verbOf(%q) = %q, want %q", args, got, want)
		}
	}
}

// Every verb is found by its own name, so that building it alone is enough.
func TestVerbsHaveTheirNames(t *testing.T) {
	for _, v := range verbs() {
		if got := v.build(&env{}).Name(); got != v.name {
			t.Errorf("verb %q builds the command %q", v.name, got)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"web", "db", "worker"}
	for word, want := range map[string]string{"wed": "web", "bd": "db", "wroker": "worker", "cache": "", "x": "", "": ""} {
		if got := nearest(word, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestParseTime(t *testing.T) {
	now := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	tests := map[string]string{
		"":                          "0001-01-01T00:00:00Z",
		"42m":                       "2024-05-01T11:18:00Z",
		"2013-01-02T13:23:37Z":      "2013-01-02T13:23:37Z",
		"2013-01-02T13:23:37+01:00": "2013-01-02T12:23:37Z",
		"2013-01-02T13:23:37.5":     "2013-01-02T13:23:37.5Z",
		"2013-01-02T13:23":          "2013-01-02T13:23:00Z",
		"2013-01-02":                "2013-01-02T00:00:00Z",
		"1136073845.000000001":      "2006-01-01T00:04:05.000000001Z",
		"1136073845":                "2006-01-01T00:04:05Z",
	}
	for s, want := range tests {
		got, err := parseTime(s, now)
		if err != nil || got.UTC().Format(time.RFC3339Nano) != want {
			t.Errorf("parseTime(%q) = %v, %v, want %s", s, got.UTC(), err, want)
		}
	}
	for _, s := range []string{"yesterday", "1.2.3", "2013-13-01", "-"} {
		if got, err := parseTime(s, now); err == nil {
			t.Errorf("parseTime(%q) = %v", s, got)
		}
	}
}

func TestGetenv(t *testing.T) {
	e := &env{environ: []string{"A=1", "B", "A=2", "ON=Yes", "OFF=0"}}
	if got := e.getenv("A"); got != "2" {
		t.Errorf("A = %q", got)
	}
	if !e.settingBool(nil, "ON") || e.settingBool(nil, "OFF") || e.settingBool(nil, "NONE") {
		t.Error("booleans are misread")
	}
}
