package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"

	"devstack/cmd/devstack/render"
	"devstack/compose"
	"devstack/compose/load"
	"devstack/engine/api"
	"devstack/engine/image"
)

// load says what of the loader's work the flags leave out.
func (o *configOptions) load(ctx context.Context, e *env) load.Options {
	opts := e.loadOptions(ctx)
	opts.Render = true
	opts.NoNormalize, opts.NoPathResolution = o.noNormalize, o.noPathResolution
	opts.NoConsistency, opts.NoEnvResolution = o.noConsistency, o.noEnvResolution
	return opts
}

// partial says whether only a part of the project is asked for.
func (o *configOptions) partial() bool {
	return o.services || o.volumes || o.networks || o.models || o.profiles || o.images || o.environment || o.hash != "" || o.resolveDigests || o.lockDigests
}

// printModel prints the project with its variables as they are written.
func (o *configOptions) printModel(ctx context.Context, e *env, opts load.Options, services []string) error {
	m, warnings, err := load.LoadModel(ctx, opts)
	e.remark(warnings)
	if err != nil {
		return err
	}
	m.Services(services)
	encode := m.YAML
	switch o.format {
	case "yaml":
	case "json":
		encode = m.JSON
	default:
		return fmt.Errorf("unsupported format %q", o.format)
	}
	b, err := encode()
	if err != nil {
		return err
	}
	return o.emit(e, closed(b))
}

// variableRow is a variable in the JSON of `config --variables`.
type variableRow struct {
	Name          string
	Required      bool
	DefaultValue  string
	PresenceValue string
}

func (o *configOptions) printVariables(ctx context.Context, e *env, opts load.Options) error {
	rows := []variableRow{}
	opts.Variables = func(v load.Variable) {
		i := slices.IndexFunc(rows, func(r variableRow) bool { return r.Name == v.Name })
		if i < 0 {
			i = len(rows)
			rows = append(rows, variableRow{Name: v.Name})
		}
		r := &rows[i]
		r.Required = r.Required || v.Required
		r.DefaultValue, r.PresenceValue = cmp.Or(r.DefaultValue, v.Default), cmp.Or(r.PresenceValue, v.Alternate)
	}
	if _, _, err := load.LoadModel(ctx, opts); err != nil {
		return err
	}
	slices.SortFunc(rows, func(a, b variableRow) int { return cmp.Compare(a.Name, b.Name) })
	var b bytes.Buffer
	switch o.format {
	case "table":
		cells := make([][]string, len(rows))
		for i, r := range rows {
			cells[i] = []string{r.Name, strconv.FormatBool(r.Required), r.DefaultValue, r.PresenceValue}
		}
		if err := render.WideTable(&b, []string{"NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"}, cells); err != nil {
			return err
		}
	case "json":
		if err := json.NewEncoder(&b).Encode(rows); err != nil {
			return err
		}
	default:
		return fmt.Errorf("unsupported format %q", o.format)
	}
	return o.emit(e, b.Bytes())
}

// pinDigests replaces the images of services by what they stand for now. Those
// that are built here, or lie in files, stay.
func (e *env) pinDigests(ctx context.Context, p *compose.Project) error {
	req := api.LockRequest{Credentials: e.credentials()}
	var of []string
	var refs []image.Reference
	for _, name := range p.ServiceNames() {
		s := p.Services[name]
		r, err := image.ParseReference(s.Image)
		if s.Image == "" || s.Build != nil || err != nil || r.Transport != image.Docker || r.Digest != "" {
			continue
		}
		of, refs = append(of, name), append(refs, r)
		req.Refs = append(req.Refs, api.LockRef{Ref: s.Image})
	}
	if len(of) == 0 {
		return nil
	}
	c, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	res, err := c.Lock(ctx, req)
	if err != nil {
		return err
	}
	for i, name := range of {
		s := p.Services[name]
		s.Image = refs[i].String() + "@" + res.Images[i].Digest
		p.Services[name] = s
	}
	return nil
}

// imagesOnly writes an override file that has nothing but images.
func (o *configOptions) imagesOnly(w io.Writer, p *compose.Project) error {
	type service struct {
		Image string `json:"image"`
	}
	services := map[string]service{}
	for name, s := range p.Services {
		if s.Image != "" {
			services[name] = service{s.Image}
		}
	}
	if o.format == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(map[string]any{"services": services})
	}
	fmt.Fprintln(w, "services:")
	for _, name := range p.ServiceNames() {
		if s, ok := services[name]; ok {
			fmt.Fprintf(w, "  %s:\n    image: %s\n", name, s.Image)
		}
	}
	return nil
}
