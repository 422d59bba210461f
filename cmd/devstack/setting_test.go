package main

import (
	"testing"

	"devstack/compose"
)

func TestMenuSetting(t *testing.T) {
	for _, c := range []struct {
		environ []string
		file    string // of .env
		want    bool
	}{
		{want: true},
		{file: "false"},
		{file: "1", want: true},
		{environ: []string{"COMPOSE_MENU=0"}, file: "1"},
		{environ: []string{"COMPOSE_MENU=1"}, file: "0", want: true},
		{environ: []string{"COMPOSE_MENU="}, file: "0", want: true},
	} {
		e := &env{environ: c.environ}
		p := &compose.Project{Environment: map[string]string{"COMPOSE_MENU": c.file}}
		if got := e.menu(p); got != c.want {
			t.Errorf("environment %q, .env %q: %v", c.environ, c.file, got)
		}
	}
}
