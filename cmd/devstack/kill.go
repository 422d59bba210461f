package main

import (
	"github.com/spf13/cobra"

	"devstack/engine/api"
	"devstack/engine/api/client"
)

func newKillCmd(e *env) *cobra.Command {
	var (
		signal  string
		orphans bool
	)
	cmd := &cobra.Command{
		Use:   "kill [OPTIONS] [SERVICE...]",
		Short: "Force stop service containers",
		RunE: func(cmd *cobra.Command, services []string) error {
			if !cmd.Flags().Changed("remove-orphans") {
				orphans = e.settingBool(nil, "COMPOSE_REMOVE_ORPHANS")
			}
			req := api.ServiceRequest{Services: services, Signal: signal, RemoveOrphans: orphans}
			return e.onServices(cmd.Context(), "kill", req, (*client.Client).Kill)
		},
		ValidArgsFunction: e.serviceNames,
	}
	cmd.Flags().BoolVar(&orphans, "remove-orphans", false, "Remove containers for services not defined in the Compose file")
	cmd.Flags().StringVarP(&signal, "signal", "s", "SIGKILL", "SIGNAL to send to the container")
	return cmd
}
