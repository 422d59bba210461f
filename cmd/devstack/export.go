package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"devstack/engine/api"
)

func newExportCmd(e *env) *cobra.Command {
	var (
		req    api.ExportRequest
		output string
	)
	cmd := &cobra.Command{
		Use:   "export [OPTIONS] SERVICE",
		Short: "Export a service container's filesystem as a tar archive",
		Args:  exactArgs(1, "SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Service = args[0]
			return runExport(cmd.Context(), e, req, output)
		},
		ValidArgsFunction: e.firstServiceName,
	}
	cmd.Flags().IntVar(&req.Index, "index", 0, "index of the container if service has multiple replicas.")
	cmd.Flags().StringVarP(&output, "output", "o", "", "Write to a file, instead of STDOUT")
	return cmd
}

func runExport(ctx context.Context, e *env, req api.ExportRequest, output string) error {
	if e.flags.dryRun {
		return errDryRun
	}
	if output == "" && isTerminal(e.stdout) {
		return errors.New("output option is required when exporting to terminal")
	}
	c, name, err := e.dialFor(ctx, req.Service)
	if err != nil {
		return err
	}
	defer c.Close()
	req.Name = name
	if output == "" {
		return c.Export(ctx, req, e.stdout)
	}
	return writeWhole(e.path(output), func(w io.Writer) error { return c.Export(ctx, req, w) })
}
