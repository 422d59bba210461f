package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"devstack/cmd/devstack/render"
	"devstack/compose"
	"devstack/engine/api"
)

// env is everything a verb may know of the process it runs in, and the global
// flags.
type env struct {
	args           []string // without the program's name
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
	cwd, exe       string
	uid            int
	now            func() time.Time

	flags   globalFlags
	signals *signals
	// project is the one that was loaded last; report uses it to place errors.
	project  *compose.Project
	began    time.Time               // when that load began
	remotes  *remotes                // made by the first load
	checkout *checkout               // what the last load settled, until it is noted
	provided map[string]api.Provided // what providers have answered
}

// globalFlags come before the verb.
type globalFlags struct {
	files, envFiles, profiles []string
	name, directory           string
	progress, ansi            string
	dryRun, all, compat       bool
	jsonOutput                bool // --format json: faults, too
	noANSI                    bool // the older spelling of --ansi never
	parallel                  int
	version                   bool
	statusOut                 bool                   // progress goes to standard output
	given                     func(flag string) bool // on the command line
}

// check refuses values that no verb understands.
func (g *globalFlags) check() error {
	if !slices.Contains([]string{"auto", "tty", "plain", "json", "quiet"}, g.progress) {
		return fmt.Errorf("unsupported --progress value %q (auto, tty, plain, json, quiet)", g.progress)
	}
	if !slices.Contains([]string{"auto", "never", "always"}, g.ansi) {
		return fmt.Errorf("unsupported --ansi value %q (never, always, auto)", g.ansi)
	}
	return nil
}

// getenv is the last value of an environment variable, or "".
func (e *env) getenv(key string) string {
	v, _ := e.lookup(key)
	return v
}

func (e *env) lookup(key string) (string, bool) {
	for _, kv := range slices.Backward(e.environ) {
		if k, v, ok := strings.Cut(kv, "="); ok && k == key {
			return v, true
		}
	}
	return "", false
}

// style says whether w gets colours: --ansi (or COMPOSE_ANSI), NO_COLOR, and
// whether it is a terminal.
func (e *env) style(w io.Writer) render.Style {
	switch e.flags.ansi {
	case "always":
		return render.Coloured
	case "never":
		return render.Plain
	}
	if _, ok := e.lookup("NO_COLOR"); ok || e.getenv("TERM") == "dumb" || !isTerminal(w) {
		return render.Plain
	}
	return render.Coloured
}
