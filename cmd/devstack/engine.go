package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"devstack/engine/api"
	"devstack/engine/api/client"
)

func newEngineCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "engine COMMAND",
		Short: "Look after the background process that runs containers",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newEngineStatusCmd(e), newEngineStopCmd(e), newEngineRestartCmd(e), newEngineServeCmd(e))
	return cmd
}

func newEngineStatusCmd(e *env) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show whether the engine runs, and what it looks after",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.dialIfAny(cmd.Context())
			if err != nil {
				return err
			}
			if c == nil {
				fmt.Fprintln(e.stdout, "engine is not running")
				return nil
			}
			defer c.Close()
			s, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			if format == "json" {
				return json.NewEncoder(e.stdout).Encode(s)
			}
			printStatus(e, s)
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "pretty", "Format the output. Values: [pretty | json]")
	return cmd
}

func printStatus(e *env, s api.StatusResult) {
	fmt.Fprintf(e.stdout, "engine      %s, pid %d, up since %s\n", s.Version, s.PID, s.Started.Local().Format(time.DateTime))
	fmt.Fprintf(e.stdout, "guard       pid %d, has started %d engine(s)\n", s.GuardPID, s.Generation)
	fmt.Fprintf(e.stdout, "projects    %d\n", s.Projects)
	fmt.Fprintf(e.stdout, "containers  %d (%d adopted)\n", s.Containers, s.Adopted)
	fmt.Fprintf(e.stdout, "data        %s\n", s.DataRoot)
	fmt.Fprintf(e.stdout, "run         %s\n", s.RunRoot)
}

func newEngineStopCmd(e *env) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "End the engine; with --force also while containers run (they keep running)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withEngine(cmd.Context(), e, func(c *client.Client) error { return c.End(cmd.Context(), force) })
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "Leave running containers to themselves")
	return cmd
}

func newEngineRestartCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "restart",
		Short: "Replace the engine by a new one, which takes over what runs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withEngine(cmd.Context(), e, func(c *client.Client) error {
				return c.Shutdown(cmd.Context(), api.ShutdownRequest{Restart: true})
			})
		},
	}
}

// withEngine calls fn if an engine runs.
func withEngine(ctx context.Context, e *env, fn func(*client.Client) error) error {
	c, err := client.Dial(ctx, e.clientOptions(false))
	if errors.Is(err, client.ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	defer c.Close()
	return fn(c)
}

// newEngineServeCmd is what the guard runs.
func newEngineServeCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:    "serve",
		Short:  "Be the engine; the guard runs this",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(cmd *cobra.Command, _ []string) error { return serveEngine(cmd.Context(), e) },
	}
}
