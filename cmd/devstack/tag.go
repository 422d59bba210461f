package main

import (
	"github.com/spf13/cobra"

	"devstack/engine/api"
)

func newTagCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
		Short: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
		Args:  exactArgs(2, "SOURCE_IMAGE", "TARGET_IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if e.flags.dryRun {
				return errDryRun
			}
			c, err := e.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			return c.Tag(cmd.Context(), api.TagRequest{Source: args[0], Target: args[1]})
		},
		ValidArgsFunction: e.imageNames,
	}
}
