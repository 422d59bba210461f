package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"devstack/compose"
	"devstack/engine/api"
)

// externalFiles finds the external configs and secrets that the selected
// services use: files that the user keeps for all of his projects, in
// ~/.config/devstack/configs/NAME and secrets/NAME.
func (e *env) externalFiles(p *compose.Project, services []string) error {
	selected := selection(p, services)
	var errs []error
	for _, kind := range []struct {
		word    string
		objects map[string]compose.FileObject
		used    func(compose.Service) []compose.FileReference
	}{
		{"config", p.Configs, func(s compose.Service) []compose.FileReference { return s.Configs }},
		{"secret", p.Secrets, func(s compose.Service) []compose.FileReference { return s.Secrets }},
	} {
		for _, name := range selected {
			for _, ref := range kind.used(p.Services[name]) {
				o, ok := kind.objects[ref.Source]
				if !ok || !o.External {
					continue
				}
				path, err := e.externalFile(kind.word+"s", o.Name)
				if err != nil {
					errs = append(errs, &api.Error{
						Service: name, Message: fmt.Sprintf("external %s %s was not found", kind.word, o.Name),
						Hint: "put its content into " + e.path(path), Path: compose.Path(kind.word+"s", ref.Source),
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
func (e *env) externalFile(kind, name string) (string, error) {
	dir := e.getenv("XDG_CONFIG_HOME")
	if dir == "" {
		dir = filepath.Join(e.getenv("HOME"), ".config")
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
