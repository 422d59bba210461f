package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"devstack/engine/api"
)

func newWaitCmd(e *env) *cobra.Command {
	var downProject bool
	cmd := &cobra.Command{
		Use:   "wait SERVICE [SERVICE...] [OPTIONS]",
		Short: "Block until containers of all (or specified) services stop.",
		Args:  minArgs(1, "SERVICE"),
		RunE: func(cmd *cobra.Command, services []string) error {
			return runWait(cmd.Context(), e, services, downProject)
		},
		ValidArgsFunction: e.serviceNames,
	}
	cmd.Flags().BoolVar(&downProject, "down-project", false, "Drops project when the first container stops")
	return cmd
}

// runWait ends with the code of the container that stopped last, or first with
// --down-project.
func runWait(ctx context.Context, e *env, services []string, downProject bool) error {
	p, name, err := e.loadOrName(ctx, services...)
	if err != nil {
		return err
	}
	c, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	result, err := c.Wait(ctx, api.WaitRequest{Name: name, Services: services, Any: downProject})
	if err != nil {
		return err
	}
	if len(result.Exits) == 0 {
		return fmt.Errorf("no containers for project %q", name)
	}
	for _, x := range result.Exits {
		fmt.Fprintf(e.stdout, "container %q exited with status code %d\n", x.ID, x.Code)
	}
	if downProject {
		err = e.progress("down", func(emit func(api.Message)) error {
			_, err := c.Down(ctx, api.DownRequest{Name: name, Project: p}, emit)
			return err
		})
		if err != nil {
			return err
		}
	}
	return exitWith(result.Exits[len(result.Exits)-1].Code)
}
