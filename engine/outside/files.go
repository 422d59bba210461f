package outside

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"devstack/compose"
	"devstack/engine/api"
)

// Files finds the external configs and secrets that the services use: files
// that the user keeps for all of his projects, in
// ~/.config/devstack/configs/NAME and secrets/NAME. getenv is the user's
// environment, show says how paths are shown to him. An error is one *api.Error
// for each that is not there.
func Files(p *compose.Project, services []string, getenv func(string) string, show func(path string) string) error {
	var errs []error
	for _, kind := range []struct {
		word    string
		objects map[string]compose.FileObject
		used    func(compose.Service) []compose.FileReference
	}{
		{"config", p.Configs, func(s compose.Service) []compose.FileReference { return s.Configs }},
		{"secret", p.Secrets, func(s compose.Service) []compose.FileReference { return s.Secrets }},
	} {
		for _, name := range services {
			for _, ref := range kind.used(p.Services[name]) {
				o, ok := kind.objects[ref.Source]
				if !ok || !o.External {
					continue
				}
				path, err := externalFile(getenv, kind.word+"s", o.Name)
				if err != nil {
					errs = append(errs, &api.Error{
						Service: name, Message: fmt.Sprintf("external %s %s was not found", kind.word, o.Name),
						Hint: "put its content into " + show(path), Path: compose.Path(kind.word+"s", ref.Source),
					})
					continue
				}
				o.File, o.External = path, false
				kind.objects[ref.Source] = o
			}
		}
	}
	return errors.Join(slices.CompactFunc(errs, func(a, b error) bool { return a.Error() == b.Error() })...)
}

// externalFile is where one is, or should be.
func externalFile(getenv func(string) string, kind, name string) (string, error) {
	dir := getenv("XDG_CONFIG_HOME")
	if dir == "" {
		dir = filepath.Join(getenv("HOME"), ".config")
	}
	path := filepath.Join(dir, "devstack", kind, name)
	if filepath.Base(name) != name || name == ".." {
		return path, os.ErrNotExist
	}
	fi, err := os.Stat(path)
	if err == nil && !fi.Mode().IsRegular() {
		err = os.ErrNotExist
	}
	return path, err
}
