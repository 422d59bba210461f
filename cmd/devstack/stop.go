package main

import (
	"github.com/spf13/cobra"

	"devstack/engine/api"
	"devstack/engine/api/client"
)

func newStopCmd(e *env) *cobra.Command {
	var timeout int
	cmd := &cobra.Command{
		Use:   "stop [OPTIONS] [SERVICE...]",
		Short: "Stop services",
		RunE: func(cmd *cobra.Command, services []string) error {
			req := api.ServiceRequest{Services: services, Timeout: stopTimeout(cmd.Flags(), timeout)}
			return e.onServices(cmd.Context(), "stop", req, (*client.Client).Stop)
		},
		ValidArgsFunction: e.serviceNames,
	}
	cmd.Flags().IntVarP(&timeout, "timeout", "t", 0, "Specify a shutdown timeout in seconds")
	return cmd
}
