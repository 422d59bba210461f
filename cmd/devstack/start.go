package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"devstack/engine/api"
	"devstack/engine/api/client"
)

func newStartCmd(e *env) *cobra.Command {
	var (
		wait        bool
		waitTimeout int
	)
	cmd := &cobra.Command{
		Use:   "start [SERVICE...]",
		Short: "Start services",
		RunE: func(cmd *cobra.Command, services []string) error {
			ctx := cmd.Context()
			if waitTimeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Duration(waitTimeout)*time.Second)
				defer cancel()
			}
			return e.onServices(ctx, "start", api.ServiceRequest{Services: services, Wait: wait}, (*client.Client).Start)
		},
		ValidArgsFunction: e.serviceNames,
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "Wait for services to be running|healthy. Implies detached mode.")
	cmd.Flags().IntVar(&waitTimeout, "wait-timeout", 0, "Maximum duration in seconds to wait for the project to be running|healthy")
	return cmd
}
