package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"devstack/compose"
	"devstack/engine/api"
)

func newPullCmd(e *env) *cobra.Command {
	var (
		req    api.PullRequest
		quiet  bool
		frozen bool
	)
	cmd := &cobra.Command{
		Use:   "pull [OPTIONS] [SERVICE...]",
		Short: "Pull service images",
		RunE: func(cmd *cobra.Command, services []string) error {
			if req.Policy != "" && req.Policy != "missing" && req.Policy != "always" {
				return fmt.Errorf(`invalid --policy option %q: want "missing" or "always"`, req.Policy)
			}
			req.Services = services
			return runPull(cmd.Context(), e, req, quiet, frozen)
		},
		ValidArgsFunction: e.serviceNames,
	}
	f := cmd.Flags()
	addFrozen(f, &frozen)
	f.BoolVarP(&quiet, "quiet", "q", false, "Pull without printing progress information")
	f.BoolVar(&req.IncludeDeps, "include-deps", false, "Also pull services declared as dependencies")
	f.BoolVar(&req.IgnoreFailures, "ignore-pull-failures", false, "Pull what it can and ignores images with pull failures")
	f.BoolVar(&req.IgnoreBuildable, "ignore-buildable", false, "Ignore images that can be built")
	for _, old := range []string{"parallel", "no-parallel"} {
		f.Bool(old, false, "")
		_ = f.MarkHidden(old) // it was just made
	}
	f.StringVar(&req.Policy, "policy", "", `Apply pull policy ("missing"|"always")`)
	return cmd
}

func runPull(ctx context.Context, e *env, req api.PullRequest, quiet, frozen bool) error {
	p, err := e.load(ctx, req.Services...)
	if err != nil {
		return err
	}
	if req.Lock, err = e.pins(ctx, p, frozen); err != nil {
		return err
	}
	if e.flags.dryRun {
		return e.rehearseImages(p, "pull", req.Services, func(s compose.Service) bool {
			return s.Image != "" && s.PullPolicy != "never" && s.PullPolicy != "build" && !(req.IgnoreBuildable && s.Build != nil)
		}, "Pulling", "Pulled")
	}
	req.Project, req.WorkingDir, req.Credentials = p, p.WorkingDir, e.credentials()
	c, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return e.progress("pull", func(emit func(api.Message)) error {
		return c.Pull(ctx, req, quietly(emit, quiet, quiet))
	})
}
