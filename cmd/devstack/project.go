package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"devstack/compose"
	"devstack/compose/load"
	"devstack/engine/api"
	"devstack/engine/api/client"
)

// load reads the project that the global flags name and prints its warnings.
// Services that are asked for by name are enabled, with their profiles.
func (e *env) load(ctx context.Context, services ...string) (*compose.Project, error) {
	return e.loadAs(ctx, e.loadOptions(ctx), services)
}

func (e *env) loadAs(ctx context.Context, o load.Options, services []string) (*compose.Project, error) {
	o.Services = services
	e.began = time.Now()
	p, warnings, err := load.Load(ctx, o)
	e.remark(warnings)
	if err != nil {
		return nil, err
	}
	e.project = p
	return p, cmp.Or(e.adopt(p), checkServices(p, services))
}

func (e *env) loadOptions(ctx context.Context) load.Options {
	return load.Options{
		Files:            e.flags.files,
		WorkingDir:       e.cwd,
		ProjectDirectory: e.flags.directory,
		ProjectName:      e.flags.name,
		EnvFiles:         e.flags.envFiles,
		Profiles:         e.flags.profiles,
		Environ:          e.environ,
		Stdin:            e.stdin,
		Remote:           e.remote(),
		Rename:           e.tellApart(ctx),
	}
}

// loadOrName is for verbs that work on what runs: with a name and no files
// given (-p, COMPOSE_PROJECT_NAME with unreadable files) they need no project.
func (e *env) loadOrName(ctx context.Context, services ...string) (*compose.Project, string, error) {
	if e.flags.name != "" && len(e.flags.files) == 0 {
		return nil, e.flags.name, load.CheckName(e.flags.name, "-p")
	}
	o := e.loadOptions(ctx)
	o.Services, o.Lenient = services, true
	p, _, err := load.Load(ctx, o)
	if err != nil {
		if name := e.getenv("COMPOSE_PROJECT_NAME"); name != "" {
			return nil, name, nil
		}
		return nil, "", err
	}
	e.project = p
	return p, p.Name, cmp.Or(e.adopt(p), checkServices(p, services))
}

// dialFor finds the project that services are of, for its name alone, and reaches
// the engine.
func (e *env) dialFor(ctx context.Context, services ...string) (c *client.Client, project string, err error) {
	if _, project, err = e.loadOrName(ctx, services...); err != nil {
		return nil, "", err
	}
	c, err = e.dial(ctx)
	return c, project, err
}

func checkServices(p *compose.Project, services []string) error {
	for _, name := range services {
		if _, ok := p.Services[name]; !ok {
			return noSuchService(p, name)
		}
	}
	return nil
}

// meta is what the engine records of where a project came from.
func (e *env) meta(p *compose.Project) api.Meta {
	m := api.MetaOf(p, e.flags.envFiles)
	m.Provided = e.provided
	return m
}

func noSuchService(p *compose.Project, name string) error {
	err := fmt.Errorf("no such service: %s", name)
	if near := nearest(name, slices.Concat(p.ServiceNames(), slices.Collect(maps.Keys(p.Disabled)))); near != "" {
		err = fmt.Errorf("%w\nhint: did you mean %q?", err, near)
	}
	return err
}

// serviceNames completes the names of services on the command line.
func (e *env) serviceNames(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	p, _, err := load.Load(cmd.Context(), e.loadOptions(cmd.Context()))
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := slices.DeleteFunc(p.ServiceNames(), func(n string) bool { return slices.Contains(args, n) })
	return names, cobra.ShellCompDirectiveNoFileComp
}

// firstServiceName completes one service, then leaves the rest to the shell.
func (e *env) firstServiceName(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return e.serviceNames(cmd, args, word)
}

var errNoServices = errors.New("no service selected")
