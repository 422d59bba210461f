package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"devstack/cmd/devstack/render"
	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/api/client"
)

// watchOptions are the flags of `watch`.
type watchOptions struct {
	noUp, prune, quiet, stop bool
	explain                  string
}

func newWatchCmd(e *env) *cobra.Command {
	var o watchOptions
	cmd := &cobra.Command{
		Use:   "watch [OPTIONS] [SERVICE...]",
		Short: "Watch build context for service and rebuild/refresh containers when files are updated",
		RunE: func(cmd *cobra.Command, services []string) error {
			return runWatch(cmd.Context(), e, &o, cmd.Flags(), services)
		},
		ValidArgsFunction: e.serviceNames,
	}
	f := cmd.Flags()
	f.BoolVar(&o.noUp, "no-up", false, "Do not build & start services before watching")
	f.BoolVar(&o.prune, "prune", true, "Prune dangling images on rebuild")
	f.BoolVar(&o.quiet, "quiet", false, "Hide build output")
	f.StringVar(&o.explain, "explain", "", "Say which rules a path would trigger, and why")
	f.BoolVar(&o.stop, "stop", false, "End a watch that runs in the background")
	return cmd
}

// watchRequest has the engine load the project as this process did.
func watchRequest(e *env, p *compose.Project, services []string) (api.WatchRequest, error) {
	if slices.Contains(e.flags.files, "-") {
		return api.WatchRequest{}, errors.New("a project read from standard input cannot be watched")
	}
	files := e.flags.files
	if e.remotes.used() {
		files = p.Files // the copies: what lies elsewhere does not change
	}
	return api.WatchRequest{
		Name: p.Name, Services: services, Credentials: e.credentials(), Since: e.began,
		Load: api.LoadOptions{
			Files: files, Cwd: e.cwd, ProjectDirectory: e.flags.directory, ProjectName: p.Name,
			EnvFiles: e.flags.envFiles, Profiles: e.flags.profiles, Environ: e.environ,
		},
	}, nil
}

func runWatch(ctx context.Context, e *env, o *watchOptions, f *pflag.FlagSet, services []string) error {
	p, err := e.load(ctx, services...)
	if err != nil {
		return err
	}
	req, err := watchRequest(e, p, services)
	if err != nil {
		return err
	}
	req.Prune, req.Stop, req.Explain, req.DryRun = o.prune, o.stop, o.explain, e.flags.dryRun
	c, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if req.Stop || req.DryRun || req.Explain != "" {
		res, err := c.Watch(ctx, req, nil)
		if err == nil && req.Stop && !res.Stopped {
			err = fmt.Errorf("project %s is not being watched", p.Name)
		}
		if err == nil {
			_, err = io.WriteString(e.stdout, res.Text)
		}
		return err
	}
	if !o.noUp {
		services, done, err := e.outside(ctx, p, services)
		if err != nil || done {
			return err
		}
		create := createOptions{build: true}
		up, err := create.request(ctx, e, p, f, services)
		if err != nil {
			return err
		}
		req.Services, req.Lock = services, up.Lock
		if err := upDetached(ctx, e, c, up, "up", &create); err != nil {
			return err
		}
	}
	return e.follow(ctx, c, req, o.quiet)
}

// follow shows a watch until ctx ends. An engine that is started again goes on
// with it.
func (e *env) follow(ctx context.Context, c *client.Client, req api.WatchRequest, quiet bool) error {
	for {
		_, err := c.Watch(ctx, req, func(m api.Message) {
			switch {
			case m.Watch != nil:
				_, _ = io.WriteString(e.stdout, render.Watch(*m.Watch, e.style(e.stdout))) // a closed stdout ends the program by SIGPIPE
			case m.Progress != nil && !quiet && m.Progress.Parent != "" && m.Progress.Detail != "":
				fmt.Fprintf(e.stdout, "  %s\n", m.Progress.Detail)
			}
		})
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, client.ErrEngineGone) {
			return err
		}
		again, err := e.dial(ctx)
		if err != nil {
			return err
		}
		defer again.Close()
		c = again
	}
}
