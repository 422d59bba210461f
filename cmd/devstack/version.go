package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

// version is the release; client and engine exchange it.
const version = "0.1.0"

func newVersionCmd(e *env) *cobra.Command {
	var (
		format string
		short  bool
	)
	cmd := &cobra.Command{
		Use:               "version [OPTIONS]",
		Short:             "Show the devstack version information",
		Args:              cobra.NoArgs,
		RunE:              func(*cobra.Command, []string) error { return printVersion(e, format, short) },
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", "Format the output. Values: [pretty | json]. (Default: pretty)")
	cmd.Flags().BoolVar(&short, "short", false, "Shows only the version number")
	return cmd
}

func printVersion(e *env, format string, short bool) error {
	switch {
	case short:
		fmt.Fprintln(e.stdout, version)
	case format == "json":
		return json.NewEncoder(e.stdout).Encode(struct {
			Version string `json:"version"`
		}{version})
	case format == "" || format == "pretty":
		fmt.Fprintln(e.stdout, "devstack version "+version)
	default:
		return fmt.Errorf("format value %q could not be parsed", format)
	}
	return nil
}
