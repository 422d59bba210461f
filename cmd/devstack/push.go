package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"devstack/compose"
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
	f.BoolVar(&req.IgnoreMissing, "ignore-missing", false, "Skip images that are not available locally instead of failing to push them")
	cmd.MarkFlagsMutuallyExclusive("ignore-push-failures", "ignore-missing")
	f.BoolVar(&req.IncludeDeps, "include-deps", false, "Also push images of services declared as dependencies")
	f.BoolVarP(&quiet, "quiet", "q", false, "Push without printing progress information")
	return cmd
}

func runPush(ctx context.Context, e *env, req api.PushRequest, quiet bool) error {
	p, err := e.load(ctx, req.Services...)
	if err != nil {
		return err
	}
	if e.flags.dryRun {
		return e.rehearseImages(p, "push", req.Services, func(s compose.Service) bool {
			return s.Image != "" && (s.Build != nil || len(req.Services) > 0)
		}, "Pushing", "Pushed")
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
