package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/outside"
)

// A provider is a program that runs a service somewhere else. It is called as
//
//	PROGRAM compose metadata
//	PROGRAM compose --project-name=NAME up|down --OPTION=VALUE... SERVICE
//
// and answers with JSON values on its standard output:
//
//	{"type": "info", "message": "what it does"}
//	{"type": "error", "message": "why it failed"}
//	{"type": "setenv", "message": "KEY=VALUE"}     for services that depend on it: SERVICE_KEY
//	{"type": "rawsetenv", "message": "KEY=VALUE"}  the same, without the prefix
//	{"type": "debug", "message": "..."}            not shown
type provider struct {
	e       *env
	p       *compose.Project
	service string
	path    string
	options map[string][]string
}

// outside takes care of what the engine does not run: models and services with
// a provider. It gives those of services that are left to the engine; done
// reports that nothing is.
func (e *env) outside(ctx context.Context, p *compose.Project, services []string) (left []string, done bool, err error) {
	selected := p.Selection(services)
	if err := errors.Join(outside.Models(p, selected), outside.Files(p, selected, e.getenv, e.path)); err != nil {
		return nil, false, err
	}
	if err := e.providersUp(ctx, p, selected); err != nil {
		return nil, false, err
	}
	left = slices.DeleteFunc(slices.Clone(services), func(n string) bool {
		_, there := p.Services[n]
		return !there
	})
	return left, len(p.Services) == 0 || len(services) > 0 && len(left) == 0, nil
}

// providersUp has their programs bring up the selected services that have a
// provider, tells their dependents what was set, and takes them out of the
// project: what is left is the engine's.
func (e *env) providersUp(ctx context.Context, p *compose.Project, services []string) error {
	names, err := outside.Providers(p, services)
	if err != nil || len(names) == 0 {
		return err
	}
	if !e.flags.dryRun {
		err = e.progress("up", func(emit func(api.Message)) error {
			for _, name := range names {
				vars, err := e.callProvider(ctx, p, name, "up", emit)
				if err != nil {
					return err
				}
				outside.Inject(p, name, vars)
				if e.provided == nil {
					e.provided = map[string]api.Provided{}
				}
				e.provided[name] = api.Provided{Provider: *p.Services[name].Provider, Variables: vars}
			}
			return nil
		})
	}
	outside.WithoutProviders(p)
	return err
}

// providersDown has their programs take down services that have a provider,
// dependents first.
func (e *env) providersDown(ctx context.Context, p *compose.Project, services []string) error {
	if p == nil {
		return nil
	}
	names, err := outside.Providers(p, p.Selection(services))
	if err != nil || len(names) == 0 || e.flags.dryRun {
		return err
	}
	return e.progress("down", func(emit func(api.Message)) error {
		var errs []error
		for _, name := range slices.Backward(names) {
			_, err := e.callProvider(ctx, p, name, "down", emit)
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}

// callProvider runs a provider's program for one service.
func (e *env) callProvider(ctx context.Context, p *compose.Project, service, verb string, emit func(api.Message)) ([]api.ProvidedVariable, error) {
	s := p.Services[service]
	fault := func(err error) error {
		return &api.Error{
			Service: service, Message: fmt.Sprintf("provider %s: %v", s.Provider.Type, err),
			Path: compose.Path("services", service, "provider"),
		}
	}
	path, err := e.providerProgram(s.Provider.Type)
	if err != nil {
		return nil, fault(err)
	}
	pr := provider{e: e, p: p, service: service, path: path, options: s.Provider.Options}
	words := map[string][2]string{"up": {"Creating", "Created"}, "down": {"Removing", "Removed"}}[verb]
	tell := func(state, text, detail string) {
		emit(api.Message{Progress: &api.Progress{ID: "Provider " + service, State: state, Text: text, Detail: detail}})
	}
	tell(api.Working, words[0], "")
	args, err := pr.args(ctx, verb)
	if err != nil {
		return nil, fault(err)
	}
	vars, err := pr.run(ctx, args, func(text string) { tell(api.Working, words[0], text) })
	if err != nil {
		tell(api.Failed, "Error", err.Error())
		return nil, fault(err)
	}
	tell(api.Done, words[1], "")
	return vars, nil
}

// providerProgram finds a provider: a plugin of the Docker CLI, or a program
// in PATH.
func (e *env) providerProgram(kind string) (string, error) {
	if kind == "compose" || strings.ContainsAny(kind, `/\`) {
		return "", fmt.Errorf("%q cannot be a provider", kind)
	}
	dirs := []string{
		"/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins",
		"/usr/lib/docker/cli-plugins", "/usr/libexec/docker/cli-plugins",
	}
	if home := e.getenv("HOME"); home != "" {
		dirs = append([]string{filepath.Join(home, ".docker", "cli-plugins")}, dirs...)
	}
	if dir := e.getenv("DOCKER_CONFIG"); dir != "" {
		dirs = append([]string{filepath.Join(dir, "cli-plugins")}, dirs...)
	}
	for _, dir := range dirs {
		if path, err := exec.LookPath(filepath.Join(dir, "docker-"+kind)); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(kind)
	if err != nil {
		return "", fmt.Errorf("there is no program %s in PATH, nor a plugin docker-%s", kind, kind)
	}
	return path, nil
}

func (pr *provider) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, pr.path, args...)
	cmd.Dir = pr.p.WorkingDir
	for _, key := range slices.Sorted(maps.Keys(pr.p.Environment)) {
		cmd.Env = append(cmd.Env, key+"="+pr.p.Environment[key])
	}
	return cmd
}

// providerMetadata is what a provider tells of itself, if anything.
type providerMetadata struct {
	Up, Down struct {
		Parameters []struct {
			Name     string `json:"name"`
			Required bool   `json:"required"`
		} `json:"parameters"`
	}
}

// args are a call's arguments: of the options those that the verb knows, or
// all where the provider does not say which.
func (pr *provider) args(ctx context.Context, verb string) ([]string, error) {
	var meta providerMetadata
	described := false
	if out, err := pr.command(ctx, "compose", "metadata").Output(); err == nil {
		described = json.Unmarshal(out, &meta) == nil && len(meta.Up.Parameters)+len(meta.Down.Parameters) > 0
	}
	known := meta.Up.Parameters
	if verb == "down" {
		known = meta.Down.Parameters
	}
	takes := map[string]bool{}
	for _, param := range known {
		takes[param.Name] = true
		if _, set := pr.options[param.Name]; param.Required && !set {
			return nil, fmt.Errorf("option %q is required", param.Name)
		}
	}
	args := []string{"compose", "--project-name=" + pr.p.Name, verb}
	for _, key := range slices.Sorted(maps.Keys(pr.options)) {
		if described && !takes[key] {
			continue
		}
		for _, value := range pr.options[key] {
			args = append(args, "--"+key+"="+value)
		}
	}
	return append(args, pr.service), nil
}

// run calls the provider and follows what it says.
func (pr *provider) run(ctx context.Context, args []string, info func(string)) ([]api.ProvidedVariable, error) {
	cmd := pr.command(ctx, args...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	vars, said := followProvider(out, info)
	io.Copy(io.Discard, out) //nolint:errcheck // the exit tells
	err = cmd.Wait()
	switch {
	case said != nil:
		return nil, said
	case err != nil && complaints.Len() > 0:
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(complaints.String()))
	}
	return vars, err
}

// followProvider reads a provider's messages up to their end.
func followProvider(r io.Reader, info func(string)) (vars []api.ProvidedVariable, said error) {
	dec := json.NewDecoder(r)
	for {
		var m struct{ Type, Message string }
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			return vars, said
		} else if err != nil {
			return nil, errors.Join(said, fmt.Errorf("it answers with something else than JSON: %w", err))
		}
		switch m.Type {
		case "info":
			info(m.Message)
		case "error":
			said = errors.Join(said, errors.New(m.Message))
		case "setenv", "rawsetenv":
			key, value, ok := strings.Cut(m.Message, "=")
			if !ok || key == "" {
				return nil, fmt.Errorf("it sets %q, which is not KEY=VALUE", m.Message)
			}
			vars = append(vars, api.ProvidedVariable{Key: key, Value: value, Raw: m.Type == "rawsetenv"})
		case "debug":
		default:
			return nil, fmt.Errorf("unknown message type %q", m.Type)
		}
	}
}
