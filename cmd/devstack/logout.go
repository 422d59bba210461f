package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"devstack/engine/image/registry/credentials"
)

func newLogoutCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "logout [SERVER]",
		Short: "Log out from a registry",
		Long:  "Log out from a registry.\nDefaults to Docker Hub if no server is specified.",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if e.flags.dryRun {
				return errDryRun
			}
			server := "docker.io"
			if len(args) > 0 {
				server = serverName(args[0])
			}
			store := credentials.New(e.credentials().Environ)
			erased, err := store.Erase(cmd.Context(), server)
			if err != nil {
				return err
			}
			if erased {
				fmt.Fprintf(e.stdout, "Removing login credentials for %s\n", server)
			} else {
				fmt.Fprintf(e.stdout, "Not logged in to %s\n", server)
			}
			left, err := store.Find(cmd.Context(), server, "")
			if err == nil && left != (credentials.Auth{}) {
				fmt.Fprintf(e.stderr, "WARNING! There are other credentials for %s, which stay in use: see DOCKER_AUTH_CONFIG, REGISTRY_AUTH_FILE and containers/auth.json.\n", server)
			}
			return err
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}
