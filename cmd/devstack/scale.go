package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func newScaleCmd(e *env) *cobra.Command {
	var (
		o      createOptions
		noDeps bool
	)
	cmd := &cobra.Command{
		Use:   "scale [SERVICE=REPLICAS...]",
		Short: "Scale services",
		Args:  minArgs(1, "SERVICE=REPLICAS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			p, err := e.load(ctx)
			if err != nil {
				return err
			}
			o.scale, o.noRecreate = args, true
			var names []string
			for _, arg := range args {
				name, _, _ := strings.Cut(arg, "=")
				names = append(names, name)
			}
			if err := checkServices(p, names); err != nil {
				return err
			}
			if _, _, err := e.outside(ctx, p, names); err != nil {
				return err
			}
			req, err := o.request(ctx, e, p, cmd.Flags(), nil)
			if err != nil {
				return err
			}
			req.Services, req.NoDeps = slices.Sorted(maps.Keys(req.Scale)), noDeps
			c, err := e.dial(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			return upDetached(ctx, e, c, req, "scale", &o)
		},
	}
	cmd.Flags().BoolVar(&noDeps, "no-deps", false, "Don't start linked services")
	return cmd
}
