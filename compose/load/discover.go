package load

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"devstack/compose"
)

// FileNames are the names that are looked for, the first found wins.
func FileNames() []string {
	return []string{"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"}
}

func overrideNames() []string {
	return []string{"compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"}
}

// find settles the environment, the files and the project directory, in the
// order that Compose does: a .env where the user is may name the files, and
// the .env of the project completes it.
func (ld *loader) find() ([]string, error) {
	ld.cwd = ld.opts.WorkingDir
	if ld.cwd == "" {
		wd, err := os.Getwd()
		if err != nil {
			return nil, fmt.Errorf("find the working directory: %w", err)
		}
		ld.cwd = wd
	}
	ld.env = make(map[string]string, len(ld.opts.Environ)+8)
	for _, kv := range ld.opts.Environ {
		if k, v, ok := strings.Cut(kv, "="); ok && k != "" {
			ld.env[k] = v
		}
	}
	paths, err := ld.located(ld.opts.Files)
	if err != nil {
		return nil, err
	}
	start := ld.projectDir(paths)
	if len(paths) > 0 && ld.remote[paths[0]].ref != "" {
		start = ld.projectDir(nil) // at first the user's own .env
	}
	if err := ld.environment(start); err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		if paths, err = ld.fromVariable(); err != nil {
			return nil, err
		}
	}
	if len(paths) == 0 {
		paths = ld.discover(start)
	}
	if len(paths) == 0 {
		return nil, ErrNoFile
	}
	ld.dir = ld.projectDir(paths)
	if ld.dir != start {
		if err := ld.environment(ld.dir); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// projectDir is what relative paths are relative to.
func (ld *loader) projectDir(paths []string) string {
	if ld.opts.ProjectDirectory != "" {
		return ld.in(ld.cwd, ld.opts.ProjectDirectory)
	}
	for _, p := range paths {
		if p != "-" {
			return filepath.Dir(p)
		}
	}
	return ld.cwd
}

// fromVariable reads COMPOSE_FILE.
func (ld *loader) fromVariable() ([]string, error) {
	list := ld.env["COMPOSE_FILE"]
	if list == "" {
		return nil, nil
	}
	sep := ld.env["COMPOSE_PATH_SEPARATOR"]
	if sep == "" {
		sep = string(os.PathListSeparator)
	}
	return ld.located(strings.Split(list, sep))
}

// discover looks for a project file in dir and above.
func (ld *loader) discover(dir string) []string {
	for {
		if found := existing(dir, FileNames()); len(found) > 0 {
			ld.warnSeveral("project", found)
			paths := found[:1]
			for _, name := range overrideNames() {
				ld.consult(filepath.Join(dir, name))
			}
			if over := existing(dir, overrideNames()); len(over) > 0 {
				ld.warnSeveral("override", over)
				paths = append(paths, over[0])
			}
			return paths
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil
		}
		dir = parent
	}
}

func existing(dir string, names []string) []string {
	var found []string
	for _, n := range names {
		path := filepath.Join(dir, n)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			found = append(found, path)
		}
	}
	return found[:len(found):len(found)]
}

func (ld *loader) warnSeveral(what string, found []string) {
	if len(found) < 2 {
		return
	}
	names := make([]string, len(found))
	for i, f := range found {
		names[i] = filepath.Base(f)
	}
	ld.add(Diagnostic{Severity: SeverityWarning, Message: fmt.Sprintf("found several %s files (%s); using %s", what, strings.Join(names, ", "), names[0])})
}

// environment adds the environment files to the environment; what is there
// already stays.
func (ld *loader) environment(dir string) error {
	files := ld.opts.EnvFiles
	if len(files) == 0 {
		for _, f := range strings.Split(ld.env["COMPOSE_ENV_FILES"], ",") {
			if f = strings.TrimSpace(f); f != "" {
				files = append(files, f)
			}
		}
	}
	if len(files) == 0 {
		if off, _ := strconv.ParseBool(ld.env["COMPOSE_DISABLE_ENV_FILE"]); off {
			return nil
		}
		path := filepath.Join(dir, ".env")
		ld.consult(path)
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			return nil
		}
		files = []string{path}
	}
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = ld.in(ld.cwd, f)
	}
	vars, err := ld.envFiles(paths, ld.env, "environment file")
	if err != nil {
		return err
	}
	for k, v := range vars {
		if _, ok := ld.env[k]; !ok {
			ld.env[k] = v
		}
	}
	return nil
}

// envFiles reads environment files for interpolation; later files win. --explain
// calls them what from says.
func (ld *loader) envFiles(paths []string, env map[string]string, from string) (map[string]string, error) {
	vars, before := map[string]string{}, len(ld.faults)
	look := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	for _, path := range paths {
		if path == os.DevNull {
			continue
		}
		src, err := ld.read(path)
		if err != nil {
			return nil, fmt.Errorf("environment file: %w", err)
		}
		ld.trace.assigned(dotenv(src, vars, look, &ld.report), from)
	}
	if len(ld.faults) > before {
		return nil, ld.err()
	}
	return vars, nil
}

// projectName settles the name: -p, COMPOSE_PROJECT_NAME, name: in a file (the
// last one), the name of the project directory.
func (ld *loader) projectName(docs []parsed, paths []string) (string, error) {
	explicit, from := ld.opts.ProjectName, "-p"
	if explicit == "" {
		explicit, from = ld.env["COMPOSE_PROJECT_NAME"], "COMPOSE_PROJECT_NAME"
	}
	if explicit != "" {
		if ld.opts.ProjectName == "" && !ld.inEnviron("COMPOSE_PROJECT_NAME") && CheckName(explicit, from) == nil {
			explicit = ld.renamed(explicit, paths) // .env is a file as the others are
		}
		return explicit, CheckName(explicit, from)
	}
	named := ""
	for _, d := range docs {
		for _, doc := range d.docs {
			n := nameNode(doc)
			if n == nil {
				continue
			}
			text, bad := expand(n.Value, ld.lookup, nil)
			if bad != nil {
				at := place{d.src, int32(n.Line), int32(n.Column)}
				ld.add(at.inside(n.Value, bad))
				return "", ld.err()
			}
			if text != "" {
				named = text
			}
		}
	}
	if named == "" {
		named = ld.dirName(paths)
	}
	name := NormalizeName(named)
	if name == "" {
		return "", fmt.Errorf("project name must not be empty: nothing of %q can be used; set name: in the project file or use -p", named)
	}
	name = ld.renamed(name, paths)
	return name, fits(name, "name or the project directory")
}

// CheckName refuses what cannot be the name of a project; from says where it
// was given.
func CheckName(name, from string) error {
	if NormalizeName(name) != name {
		return fmt.Errorf("invalid project name %q in %s: it must consist of lower-case letters, digits, hyphens and underscores, and begin with a letter or digit", name, from)
	}
	return fits(name, from)
}

// renamed gives whoever loads the last word on a name that files have given.
func (ld *loader) renamed(name string, paths []string) string {
	if ld.opts.Rename == nil || len(paths) == 0 {
		return name
	}
	return ld.opts.Rename(name, paths[0])
}

// inEnviron says that a variable is the caller's, and not of a file.
func (ld *loader) inEnviron(name string) bool {
	return slices.ContainsFunc(ld.opts.Environ, func(kv string) bool { return strings.HasPrefix(kv, name+"=") && kv != name+"=" })
}

// fits refuses a project name that the names made of it would not fit into.
func fits(name, from string) error {
	if len(name) > compose.MaxProjectName {
		return fmt.Errorf("project name of %s is too long: %d characters, at most %d", from, len(name), compose.MaxProjectName)
	}
	return nil
}

// NormalizeName makes a project name of any text, as Compose does: lower case,
// without what is not allowed.
func NormalizeName(s string) string {
	s = strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return -1
	}, strings.ToLower(s))
	return strings.TrimLeft(s, "_-")
}

// activeProfiles are those of --profile, else of COMPOSE_PROFILES.
func (ld *loader) activeProfiles() []string {
	if len(ld.opts.Profiles) > 0 {
		return slices.Clone(ld.opts.Profiles)
	}
	var active []string
	for _, p := range strings.Split(ld.env["COMPOSE_PROFILES"], ",") {
		if p = strings.TrimSpace(p); p != "" {
			active = append(active, p)
		}
	}
	return active
}

func cloneEnv(env map[string]string) map[string]string { return maps.Clone(env) }
