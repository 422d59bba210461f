package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"devstack/engine/api"
)

func newSaveCmd(e *env) *cobra.Command {
	var (
		req    api.SaveRequest
		output string
	)
	cmd := &cobra.Command{
		Use:   "save [OPTIONS] IMAGE [IMAGE...]",
		Short: "Save one or more images to a tar archive (streamed to STDOUT by default)",
		Args:  minArgs(1, "IMAGE"),
		RunE: func(cmd *cobra.Command, refs []string) error {
			if req.Format != "docker-archive" && req.Format != "oci-archive" {
				return fmt.Errorf(`invalid --format option %q: want "docker-archive" or "oci-archive"`, req.Format)
			}
			req.Refs = refs
			return runSave(cmd.Context(), e, req, output)
		},
		ValidArgsFunction: e.imageNames,
	}
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "", "Write to a file, instead of STDOUT")
	f.StringVar(&req.Format, "format", "docker-archive", `Format of the archive ("docker-archive"|"oci-archive")`)
	return cmd
}

func runSave(ctx context.Context, e *env, req api.SaveRequest, output string) error {
	if e.flags.dryRun {
		return errDryRun
	}
	if output == "" && isTerminal(e.stdout) {
		return errors.New("cowardly refusing to save to a terminal. Use the -o flag or redirect")
	}
	c, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if output == "" {
		return c.Save(ctx, req, e.stdout)
	}
	return writeWhole(e.path(output), func(w io.Writer) error { return c.Save(ctx, req, w) })
}

// path is a path of the command line.
func (e *env) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(e.cwd, p)
}

// writeWhole writes a file that appears when it is complete, and not at all if
// it fails. What is not a regular file is written to as it is.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	if fi, err := os.Stat(path); err == nil && !fi.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := errors.Join(write(f), f.Chmod(0o600), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
