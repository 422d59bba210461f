package main

import (
	"github.com/spf13/cobra"

	"devstack/engine/api"
	"devstack/engine/api/client"
)

func newRestartCmd(e *env) *cobra.Command {
	var (
		timeout int
		noDeps  bool
	)
	cmd := &cobra.Command{
		Use:   "restart [OPTIONS] [SERVICE...]",
		Short: "Restart service containers",
		RunE: func(cmd *cobra.Command, services []string) error {
			req := api.ServiceRequest{Services: services, NoDeps: noDeps, Timeout: stopTimeout(cmd.Flags(), timeout)}
			return e.onServices(cmd.Context(), "restart", req, (*client.Client).Restart)
		},
		ValidArgsFunction: e.serviceNames,
	}
	cmd.Flags().IntVarP(&timeout, "timeout", "t", 0, "Specify a shutdown timeout in seconds")
	cmd.Flags().BoolVar(&noDeps, "no-deps", false, "Don't restart dependent services")
	return cmd
}
