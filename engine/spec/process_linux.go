package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"devstack/compose"
)

// defaultPath is what a container sees as PATH when neither its image nor its
// service sets one (the OCI and Docker default).
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Args joins entrypoint and command: the service's own replace the image's,
// and a service's entrypoint also clears the image's command.
func Args(s *compose.Service, imageEntrypoint, imageCmd []string) []string {
	entrypoint, cmd := imageEntrypoint, imageCmd
	if s.Entrypoint != nil {
		entrypoint, cmd = s.Entrypoint, nil
		if len(entrypoint) == 1 && entrypoint[0] == "" {
			entrypoint = nil
		}
	}
	if s.Command != nil {
		cmd = s.Command
	}
	return slices.Concat(entrypoint, cmd)
}

// Env is the environment of the container's process: the image's, then the
// service's, then what is always there. A variable that the service names
// without a value, and the client does not have, is not there at all. defaults
// are for those that nobody names. Order is the image's, then by name.
func Env(s *compose.Service, imageEnv []string, hostname, home string, defaults ...string) []string {
	var env []string
	at := map[string]int{}
	set := func(key, line string) {
		if i, ok := at[key]; ok {
			env[i] = line
			return
		}
		at[key] = len(env)
		env = append(env, line)
	}
	def := func(line string) {
		key, _, _ := strings.Cut(line, "=")
		if _, ok := at[key]; !ok {
			set(key, line)
		}
	}
	for _, line := range imageEnv {
		key, _, _ := strings.Cut(line, "=")
		set(key, line)
	}
	def(defaultPath)
	set("HOSTNAME", "HOSTNAME="+hostname)
	if s.TTY {
		set("TERM", "TERM=xterm")
	}
	for _, key := range slices.Sorted(maps.Keys(s.Environment)) {
		if v := s.Environment[key]; v != nil {
			set(key, key+"="+*v)
		} else if _, ok := at[key]; ok {
			set(key, "")
		}
	}
	if home == "" {
		home = "/"
	}
	def("HOME=" + home)
	for _, line := range defaults {
		def(line)
	}
	return slices.DeleteFunc(env, func(line string) bool { return line == "" })
}

// Merge applies KEY=VALUE lines over env, as exec's -e does.
func Merge(env []string, lines []string) []string {
	out := slices.Clone(env)
	for _, line := range lines {
		key, _, _ := strings.Cut(line, "=")
		i := slices.IndexFunc(out, func(l string) bool { return strings.HasPrefix(l, key+"=") })
		if i >= 0 {
			out[i] = line
		} else {
			out = append(out, line)
		}
	}
	return out
}

// Lookup finds VALUE of KEY in env.
func Lookup(env []string, key string) string {
	for _, line := range env {
		if v, ok := strings.CutPrefix(line, key+"="); ok {
			return v
		}
	}
	return ""
}

// checkArgs refuses a container that has nothing to run.
func checkArgs(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no command: neither the image nor the service says what to run")
	}
	return nil
}
