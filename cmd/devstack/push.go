package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"devstack/engine/api"
)

func newPushCmd(e *env) *cobra.Command {
	var (
		req   api.PushRequest
		quiet bool
	)
	cmd := &cobra.Command{
		Use:   "push [OPTIONS] [SERVICE...]",
		Short: "Push service images",
		RunE: func(cmd *cobra.Command, services []string) error {
			req.Services = services
			return runPush(cmd.Context(), e, req, quiet)
		},
		ValidArgsFunction: e.serviceNames,
	}
	f := cmd.Flags()
	f.BoolVar(&req.IgnoreFailures, "ignore-push-failures", false, "Push what it can and ignores images with push failures")
	f.BoolVar(&req.IncludeDeps, "include-deps", false, "Also push images of services declared as dependencies")
	f.BoolVarP(&quiet, "quiet", "q", false, "Push without printing progress information")
	return cmd
}

func runPush(ctx context.Context, e *env, req api.PushRequest, quiet bool) error {
	if e.flags.dryRun {
		return errDryRun
	}
	p, err := e.load(ctx, req.Services...)
	if err != nil {
		return err
	}
	req.Project, req.Credentials = p, e.credentials()
	c, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	var res api.PushResult
	err = e.progress("push", func(emit func(api.Message)) (err error) {
		res, err = c.Push(ctx, req, quietly(emit, quiet, quiet))
		return err
	})
	for _, img := range res.Pushed {
		if !quiet {
			fmt.Fprintf(e.stdout, "%s: digest: %s size: %d\n", img.Ref, img.Digest, img.Size)
		}
	}
	return err
}
