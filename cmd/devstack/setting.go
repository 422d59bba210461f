package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"devstack/compose"
)

// setting is a COMPOSE_ variable: of the environment, else of the project's
// .env. Without a project (p is nil) only the environment has a say.
func (e *env) setting(p *compose.Project, key string) string {
	if v, ok := e.lookup(key); ok || p == nil {
		return v
	}
	return p.Environment[key]
}

// settingBool reads a variable that switches something on. Compose takes
// anything that is not a boolean for false.
func (e *env) settingBool(p *compose.Project, key string) bool {
	v := strings.ToLower(strings.TrimSpace(e.setting(p, key)))
	on, err := strconv.ParseBool(v)
	return err == nil && on || v == "y" || v == "yes" || v == "on"
}

// adopt takes from variables what no flag says about the output: at first from
// the environment, again once the project's .env is known.
func (e *env) adopt(p *compose.Project) error {
	for name, value := range map[string]*string{"ansi": &e.flags.ansi, "progress": &e.flags.progress} {
		if v := e.setting(p, "COMPOSE_"+strings.ToUpper(name)); v != "" && !e.flags.given(name) {
			*value = v
		}
	}
	if e.flags.noANSI {
		e.flags.ansi = "never"
	}
	e.flags.statusOut = e.settingBool(p, "COMPOSE_STATUS_STDOUT")
	return e.flags.check()
}

// orphans say what happens to containers of services that the files no longer
// have.
type orphans struct{ remove, ignore bool }

// orphans settles --remove-orphans, COMPOSE_REMOVE_ORPHANS and
// COMPOSE_IGNORE_ORPHANS.
func (e *env) orphans(p *compose.Project, f *pflag.FlagSet, remove bool) (orphans, error) {
	o := orphans{remove: remove, ignore: e.settingBool(p, "COMPOSE_IGNORE_ORPHANS")}
	if !f.Changed("remove-orphans") {
		o.remove = e.settingBool(p, "COMPOSE_REMOVE_ORPHANS")
	}
	if o.remove && o.ignore {
		return o, errors.New("cannot combine COMPOSE_IGNORE_ORPHANS and --remove-orphans")
	}
	return o, nil
}

// separator stands in names of new containers: --compatibility and
// COMPOSE_COMPATIBILITY want that of Compose v1.
func (e *env) separator(p *compose.Project) string {
	if e.flags.compat || e.settingBool(p, "COMPOSE_COMPATIBILITY") {
		return "_"
	}
	return ""
}

// menu is what COMPOSE_MENU says; nothing means yes.
func (e *env) menu(p *compose.Project) bool {
	return e.setting(p, "COMPOSE_MENU") == "" || e.settingBool(p, "COMPOSE_MENU")
}

// addAutoPorts declares --auto-ports.
func addAutoPorts(f *pflag.FlagSet, auto *bool) {
	f.BoolVar(auto, "auto-ports", false, "Where a published port is taken, publish at another one, the same every time (also: DEVSTACK_AUTO_PORTS=1)")
}

// autoPorts settles --auto-ports for a project.
func (e *env) autoPorts(p *compose.Project, asked bool) {
	if asked || e.settingBool(p, "DEVSTACK_AUTO_PORTS") {
		p.SetAutoPorts()
	}
}

// parallel is how many operations may go on at once: --parallel, else
// COMPOSE_PARALLEL_LIMIT, else 0 for as many as there are.
func (e *env) parallel(p *compose.Project) (int, error) {
	n := e.flags.parallel
	if text := e.setting(p, "COMPOSE_PARALLEL_LIMIT"); text != "" && n == 0 {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			return 0, fmt.Errorf("COMPOSE_PARALLEL_LIMIT must be an integer (found: %q)", text)
		}
	}
	return max(n, 0), nil
}
