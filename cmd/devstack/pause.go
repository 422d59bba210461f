package main

import (
	"github.com/spf13/cobra"

	"devstack/engine/api"
	"devstack/engine/api/client"
)

func newPauseCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "pause [SERVICE...]",
		Short: "Pause services",
		RunE: func(cmd *cobra.Command, services []string) error {
			return e.onServices(cmd.Context(), "pause", api.ServiceRequest{Services: services}, (*client.Client).Pause)
		},
		ValidArgsFunction: e.serviceNames,
	}
}

func newUnpauseCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "unpause [SERVICE...]",
		Short: "Unpause services",
		RunE: func(cmd *cobra.Command, services []string) error {
			return e.onServices(cmd.Context(), "unpause", api.ServiceRequest{Services: services}, (*client.Client).Unpause)
		},
		ValidArgsFunction: e.serviceNames,
	}
}
