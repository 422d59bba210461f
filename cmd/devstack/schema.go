package main

import (
	"os"

	"github.com/spf13/cobra"

	"devstack/schema"
)

func newSchemaCmd(e *env) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "schema [OPTIONS]",
		Short: "Print the JSON Schema of the project file, for editors",
		Long: "Print the JSON Schema of the project file, for editors: the Compose Specification and x-devstack.\n\n" +
			"Save it and name it in the file's first line:\n\n" +
			"    # yaml-language-server: $schema=./compose.schema.json",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			text, err := schema.JSON()
			if err != nil {
				return err
			}
			if output != "" {
				return os.WriteFile(e.path(output), text, 0o666)
			}
			_, err = e.stdout.Write(text)
			return err
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "Save to file (default to stdout)")
	return cmd
}
