package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"devstack/engine/api"
)

func newLoadCmd(e *env) *cobra.Command {
	var (
		input string
		quiet bool
	)
	cmd := &cobra.Command{
		Use:   "load [OPTIONS]",
		Short: "Load an image from a tar archive or STDIN",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runLoad(cmd.Context(), e, input, quiet)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&input, "input", "i", "", "Read from a tar archive or an OCI layout, instead of STDIN")
	f.BoolVarP(&quiet, "quiet", "q", false, "Suppress the load output")
	return cmd
}

func runLoad(ctx context.Context, e *env, input string, quiet bool) error {
	if e.flags.dryRun {
		return errDryRun
	}
	req := api.LoadRequest{Credentials: e.credentials()}
	var in io.Reader
	switch {
	case input == "" && isTerminal(e.stdin):
		return errors.New("requested load from stdin, but stdin is empty")
	case input == "":
		in = e.stdin
	default:
		fi, err := os.Stat(e.path(input))
		if err != nil {
			return fmt.Errorf("open archive: %w", err)
		}
		if fi.Mode().IsRegular() || fi.IsDir() {
			req.Path = e.path(input) // the engine reads it itself
			break
		}
		f, err := os.Open(e.path(input))
		if err != nil {
			return fmt.Errorf("open archive: %w", err)
		}
		defer f.Close()
		in = f
	}
	c, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	d := closeOnce(e.display("load"))
	defer d.Close()
	emit := emitTo(d)
	if quiet {
		emit = func(api.Message) {}
	}
	return c.Load(ctx, req, in, afterClose(d, e.stdout), emit)
}
