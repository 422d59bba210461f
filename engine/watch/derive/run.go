package derive

import (
	"path"
	"slices"
	"strings"

	"devstack/engine/build/dockerfile"
)

// usage is what RUNs need of something that was copied.
type usage struct {
	all       string     // the RUN that may need any of it; "" if none does
	manifests []manifest // what package managers need of it
}

type manifest struct {
	name string
	by   string
}

// use finds what needs a copy: step i of a stage, to dest.
func (d *deriver) use(s *dockerfile.Stage, i int, dest string) usage {
	var u usage
	for _, later := range d.needed {
		steps := d.plans[later].Steps
		switch {
		case later == s:
			steps = steps[i+1:]
		case !descends(later, s):
			continue
		}
		for _, step := range steps {
			if step.Run == nil {
				continue
			}
			if !related(step.Run, dest) {
				continue
			}
			files, all := needs(step.Run)
			if all {
				return usage{all: step.Name}
			}
			for _, f := range files {
				if !slices.ContainsFunc(u.manifests, func(m manifest) bool { return m.name == f }) {
					u.manifests = append(u.manifests, manifest{f, step.Name})
				}
			}
		}
	}
	return u
}

// descends says whether a stage begins with what another made.
func descends(s, from *dockerfile.Stage) bool {
	for s.Base.Kind == dockerfile.Built {
		if s = s.Base.Stage; s == from {
			return true
		}
	}
	return false
}

// related says whether a command may look into a directory: it runs near it,
// or names it.
func related(r *dockerfile.Run, dest string) bool {
	dest = path.Clean(dest)
	dir := path.Clean(r.Dir)
	if dest == "/" || dir == dest || strings.HasPrefix(dest, dir+"/") || strings.HasPrefix(dir, dest+"/") {
		return true
	}
	if strings.Contains(script(r), dest) {
		return true
	}
	parent := path.Dir(dest)
	return parent != "/" && strings.Contains(script(r), parent)
}

func script(r *dockerfile.Run) string {
	s := strings.Join(r.Args, " ")
	if len(r.Args) == 3 && r.Args[1] == "-c" {
		s = r.Args[2]
	}
	if r.Script != nil {
		s += "\n" + r.Script.Data
	}
	return s
}

// needs says which files a command reads: none, those of a package manager,
// or any.
func needs(r *dockerfile.Run) (files []string, all bool) {
	if r.Script != nil {
		return nil, true
	}
	if len(r.Args) != 3 || r.Args[1] != "-c" {
		f, all := commandNeeds(r.Args)
		return f, all
	}
	return commandLine(r.Args[2])
}

// commandLine is needs for a line of the shell.
func commandLine(text string) (files []string, all bool) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	if strings.ContainsAny(text, "`<") || strings.Contains(text, "$(") {
		return nil, true
	}
	for _, sep := range []string{"&&", "||", ";", "|"} {
		text = strings.ReplaceAll(text, sep, "\n")
	}
	for _, line := range strings.Split(text, "\n") {
		f, all := commandNeeds(strings.Fields(line))
		if all {
			return nil, true
		}
		files = append(files, f...)
	}
	return files, false
}

// commandNeeds is needs for one command.
func commandNeeds(words []string) ([]string, bool) {
	for len(words) > 0 && strings.Contains(words[0], "=") {
		words = words[1:]
	}
	if len(words) == 0 {
		return nil, false
	}
	name := path.Base(words[0])
	if name == "python" || name == "python3" {
		if len(words) > 2 && words[1] == "-m" && words[2] == "pip" {
			name, words = "pip", words[2:]
		}
	}
	switch name {
	case "chown", "chmod", "mkdir", "rm", "rmdir", "useradd", "groupadd", "adduser", "addgroup", "usermod", "true", ":", "echo",
		"apt-get", "apt", "apk", "yum", "dnf", "microdnf", "set", "cd", "touch", "corepack", "curl", "wget", "update-ca-certificates", "#":
		return nil, false
	}
	return managerNeeds(name, words[1:])
}

// managerNeeds knows what package managers read when they install.
func managerNeeds(name string, args []string) ([]string, bool) {
	verb := ""
	for _, a := range args {
		if !strings.HasPrefix(a, "-") {
			verb = a
			break
		}
	}
	install := verb == "install" || verb == "ci" || verb == "i"
	switch {
	case name == "npm" && install:
		return []string{"package.json", "package-lock.json", "npm-shrinkwrap.json", ".npmrc"}, false
	case name == "npm" && (verb == "cache" || verb == "config" || verb == "set"):
		return nil, false
	case name == "yarn" && (install || verb == ""):
		return []string{"package.json", "yarn.lock", ".yarnrc", ".yarnrc.yml"}, false
	case name == "pnpm" && (install || verb == "fetch"):
		return []string{"package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", ".npmrc"}, false
	case name == "bun" && install:
		return []string{"package.json", "bun.lock", "bun.lockb"}, false
	case (name == "pip" || name == "pip3") && verb == "install":
		return pipNeeds(args)
	case (name == "poetry" || name == "pdm" || name == "uv") && (verb == "install" || verb == "sync"):
		if !slices.Contains(args, "--no-root") && !slices.Contains(args, "--no-install-project") && !slices.Contains(args, "--no-self") {
			return nil, true
		}
		return []string{"pyproject.toml", "poetry.lock", "pdm.lock", "uv.lock"}, false
	case name == "pipenv" && (verb == "install" || verb == "sync"):
		return []string{"Pipfile", "Pipfile.lock"}, false
	case name == "bundle" && (verb == "install" || verb == "config"):
		return []string{"Gemfile", "Gemfile.lock", "*.gemspec"}, false
	case name == "composer" && verb == "install":
		return []string{"composer.json", "composer.lock"}, !slices.Contains(args, "--no-scripts") && !slices.Contains(args, "--no-autoloader")
	case name == "go" && verb == "mod":
		return []string{"go.mod", "go.sum"}, false
	}
	return nil, true
}

// pipNeeds are the requirements files; installing the directory needs it all.
func pipNeeds(args []string) (files []string, all bool) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case (a == "-r" || a == "--requirement" || a == "-c" || a == "--constraint") && i+1 < len(args):
			i++
			files = append(files, path.Base(args[i]))
		case strings.HasPrefix(a, "--requirement="):
			files = append(files, path.Base(strings.TrimPrefix(a, "--requirement=")))
		case strings.HasPrefix(a, "-r") && len(a) > 2:
			files = append(files, path.Base(a[2:]))
		case a == "-e" || a == "--editable" || strings.HasPrefix(a, ".") || strings.HasPrefix(a, "/") || strings.HasPrefix(a, "file:"):
			return nil, true
		}
	}
	return files, false
}
