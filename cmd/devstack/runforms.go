package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"devstack/compose"
	"devstack/compose/load"
)

// applyForms adds what `run` declares in the short forms of a project file:
// environment, published ports and mounts. They go through the loader as a
// service of one more file, so that they mean the same, with the same checks.
func (o *runOptions) applyForms(ctx context.Context, e *env, p *compose.Project, s *compose.Service) error {
	vars := make(compose.Mapping, len(s.Environment)+len(o.env))
	maps.Copy(vars, s.Environment)
	if len(o.envFiles) > 0 {
		files := make([]string, len(o.envFiles))
		for i, f := range o.envFiles {
			files[i] = f
			if !filepath.IsAbs(f) {
				files[i] = filepath.Join(e.cwd, f)
			}
		}
		form, err := e.loadForm(ctx, "--env-from-file", map[string]any{"env_file": files}, nil)
		if err != nil {
			return err
		}
		maps.Copy(vars, form.Environment)
	}
	for _, kv := range fromEnviron(e, o.env) {
		k, v, _ := strings.Cut(kv, "=")
		vars[k] = &v
	}
	s.Environment = vars

	if len(o.publish) > 0 {
		form, err := e.loadForm(ctx, "--publish", map[string]any{"ports": o.publish}, nil)
		if err != nil {
			return err
		}
		s.Ports = form.Ports
	}
	if len(o.volumes) == 0 {
		return nil
	}
	form, err := e.loadForm(ctx, "--volume", map[string]any{"volumes": o.volumes}, o.declareVolumes(p))
	if err != nil {
		return err
	}
	s.Volumes = slices.DeleteFunc(slices.Clone(s.Volumes), func(m compose.Mount) bool {
		return slices.ContainsFunc(form.Volumes, func(n compose.Mount) bool { return n.Target == m.Target })
	})
	s.Volumes = append(s.Volumes, form.Volumes...)
	return nil
}

// declareVolumes gives the project the volumes that -v names for the first
// time (under just that name), and lists all there are.
func (o *runOptions) declareVolumes(p *compose.Project) map[string]any {
	for _, v := range o.volumes {
		source, _, two := strings.Cut(v, ":")
		if !two || strings.ContainsAny(source, "/.~\\") || source == "" {
			continue
		}
		if _, ok := p.Volumes[source]; !ok {
			p.Volumes = with(p.Volumes, source, compose.Volume{Name: source})
		}
	}
	all := make(map[string]any, len(p.Volumes))
	for name := range p.Volumes {
		all[name] = nil
	}
	return all
}

// loadForm loads one service with the given keys.
func (e *env) loadForm(ctx context.Context, flag string, keys, volumes map[string]any) (compose.Service, error) {
	keys["image"] = "form"
	form := map[string]any{"services": map[string]any{"form": keys}}
	if len(volumes) > 0 {
		form["volumes"] = volumes
	}
	doc, err := json.Marshal(form)
	if err != nil {
		return compose.Service{}, err
	}
	p, _, err := load.Load(ctx, load.Options{
		Files: []string{"-"}, Stdin: bytes.NewReader(bytes.ReplaceAll(doc, []byte("$"), []byte("$$"))),
		WorkingDir: e.cwd, ProjectDirectory: e.cwd, ProjectName: "form", Environ: e.environ,
	})
	if faults := (*load.Error)(nil); errors.As(err, &faults) {
		d := faults.Diagnostics[0]
		if d.Hint != "" {
			d.Hint = "\nhint: " + d.Hint
		}
		return compose.Service{}, fmt.Errorf("%s: %s%s", flag, d.Message, d.Hint)
	}
	if err != nil {
		return compose.Service{}, fmt.Errorf("%s: %w", flag, err)
	}
	return p.Services["form"], nil
}
