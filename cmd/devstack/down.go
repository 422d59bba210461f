package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"devstack/engine/api"
)

func newDownCmd(e *env) *cobra.Command {
	var (
		volumes, orphans bool
		images           string
		timeout          int
	)
	cmd := &cobra.Command{
		Use:   "down [OPTIONS] [SERVICES]",
		Short: "Stop and remove containers, networks",
		RunE: func(cmd *cobra.Command, services []string) error {
			if images != "" && images != "all" && images != "local" {
				return fmt.Errorf("invalid value for --rmi: %q", images)
			}
			return runDown(cmd.Context(), e, cmd.Flags(), api.DownRequest{
				Services: services, Volumes: volumes, Images: images, RemoveOrphans: orphans,
				Timeout: stopTimeout(cmd.Flags(), timeout), DryRun: e.flags.dryRun,
			})
		},
		ValidArgsFunction: e.serviceNames,
	}
	f := cmd.Flags()
	f.BoolVar(&orphans, "remove-orphans", false, "Remove containers for services not defined in the Compose file")
	f.IntVarP(&timeout, "timeout", "t", 0, "Specify a shutdown timeout in seconds")
	f.BoolVarP(&volumes, "volumes", "v", false, `Remove named volumes declared in the "volumes" section of the Compose file and anonymous volumes attached to containers`)
	f.StringVar(&images, "rmi", "", `Remove images used by services. "local" remove only images that don't have a custom tag ("local"|"all")`)
	return cmd
}

func runDown(ctx context.Context, e *env, f *pflag.FlagSet, req api.DownRequest) error {
	p, name, err := e.loadOrName(ctx)
	if err != nil {
		return err
	}
	req.Project, req.Name = p, name
	if !f.Changed("remove-orphans") {
		req.RemoveOrphans = e.settingBool(p, "COMPOSE_REMOVE_ORPHANS")
	}
	c, err := e.dial(ctx) // volumes and images may be left where no engine runs
	if err != nil {
		return err
	}
	defer c.Close()
	var result api.UpResult
	err = e.progress("down", func(emit func(api.Message)) (err error) {
		result, err = c.Down(ctx, req, emit)
		return err
	})
	if err == nil && req.DryRun {
		_, err = io.WriteString(e.stdout, result.Plan)
	}
	if err != nil {
		return err
	}
	return e.providersDown(ctx, p, req.Services)
}

// errDryRun is for verbs whose effect nobody can foresee.
var errDryRun = errors.New("--dry-run works with verbs that change a project: up, create, scale, down, start, stop, restart, kill, pause, unpause, rm, pull, push, build, publish, lock, prune")
