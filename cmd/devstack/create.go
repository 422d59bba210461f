package main

import (
	"github.com/spf13/cobra"
)

func newCreateCmd(e *env) *cobra.Command {
	var o createOptions
	cmd := &cobra.Command{
		Use:   "create [OPTIONS] [SERVICE...]",
		Short: "Creates containers for a service",
		RunE: func(cmd *cobra.Command, services []string) error {
			ctx := cmd.Context()
			if err := o.check(); err != nil {
				return err
			}
			p, err := e.load(ctx, services...)
			if err != nil {
				return err
			}
			services, done, err := e.outside(ctx, p, services)
			if err != nil || done {
				return err
			}
			req, err := o.request(ctx, e, p, cmd.Flags(), services)
			if err != nil {
				return err
			}
			req.NoStart = true
			c, err := e.dial(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			return upDetached(ctx, e, c, req, "create", &o)
		},
		ValidArgsFunction: e.serviceNames,
	}
	o.add(cmd.Flags())
	_ = cmd.Flags().MarkHidden("timeout") // it was just made
	return cmd
}
