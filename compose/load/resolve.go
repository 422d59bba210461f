package load

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"

	"devstack/compose"
)

// resolve reads env_file and label_file of the enabled services.
func (ld *loader) resolve(p *compose.Project) {
	for _, name := range p.ServiceNames() {
		s := p.Services[name]
		if len(s.EnvFile)+len(s.LabelFile)+len(s.PreStart) == 0 {
			continue
		}
		ld.resolveEnvironment(p, &s)
		ld.resolveLabels(p, &s)
		for i := range s.PreStart {
			ld.resolveEnvironment(p, &s.PreStart[i].Service)
			ld.resolveLabels(p, &s.PreStart[i].Service)
		}
		p.Services[name] = s
	}
}

// resolveEnvironment puts what env_file says below environment. Variables in
// the files are looked up in the project's environment, then in the service's,
// then in what the files said before.
func (ld *loader) resolveEnvironment(p *compose.Project, s *compose.Service) {
	if len(s.EnvFile) == 0 {
		return
	}
	look := func(name string) (string, bool) {
		if v, ok := ld.lookup(name); ok {
			return v, true
		}
		if v := s.Environment[name]; v != nil {
			return *v, true
		}
		return "", false
	}
	vars := map[string]string{}
	for k, v := range s.Environment {
		if v != nil {
			vars[k] = *v
		}
	}
	for i, f := range s.EnvFile {
		src := ld.sideFile(p, f.Path, !f.Required, "services", s.Name, "env_file", strconv.Itoa(i), "path")
		switch {
		case src == nil:
		case f.Format == "raw":
			ld.trace.inContainer(f.Path, rawenv(src, vars, look, &ld.report))
		case f.Format == "" || f.Format == ".env":
			ld.trace.inContainer(f.Path, dotenv(src, vars, look, &ld.report))
		default:
			ld.faultAt(p, fmt.Sprintf("unsupported env_file format %q", f.Format), "the formats are raw and .env", "services", s.Name, "env_file", strconv.Itoa(i), "format")
		}
	}
	merged := make(compose.Mapping, len(vars))
	for k, v := range vars {
		merged[k] = &v
	}
	maps.Copy(merged, s.Environment)
	s.Environment = merged
}

// resolveLabels puts what label_file says below labels.
func (ld *loader) resolveLabels(p *compose.Project, s *compose.Service) {
	if len(s.LabelFile) == 0 {
		return
	}
	labels := map[string]string{}
	none := func(string) (string, bool) { return "", false }
	for i, path := range s.LabelFile {
		if src := ld.sideFile(p, path, false, "services", s.Name, "label_file", strconv.Itoa(i)); src != nil {
			dotenv(src, labels, none, &ld.report)
		}
	}
	maps.Copy(labels, s.Labels)
	if len(labels) > 0 {
		s.Labels = labels
	}
}

// sideFile reads a file that a service names; a missing one is a fault there,
// unless it may be missing.
func (ld *loader) sideFile(p *compose.Project, path string, optional bool, keys ...string) *source {
	path = ld.in(ld.dir, path) // relative only with NoPathResolution
	src, err := ld.read(path)
	if err == nil {
		return src
	}
	if optional && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	hint := ""
	if errors.Is(err, fs.ErrNotExist) {
		hint = "create it, or write {path: ..., required: false} where it may be missing"
		if slices.Contains(keys, "label_file") {
			hint = "create it"
		}
		err = fmt.Errorf("%s %s: file not found", keys[2], showName(ld.cwd, path))
	} else if info, serr := os.Stat(path); serr == nil && info.IsDir() {
		err = fmt.Errorf("%s %s is a directory", keys[2], showName(ld.cwd, path))
	}
	ld.outside(p, err.Error(), hint, keys...)
	return nil
}
