package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"devstack/cmd/devstack/render"
	"devstack/compose"
	"devstack/engine/api"
)

func newPruneCmd(e *env) *cobra.Command {
	var (
		req              api.PruneRequest
		keep, keepImages string
		force            bool
	)
	cmd := &cobra.Command{
		Use:   "prune [OPTIONS]",
		Short: "Remove unused images and build cache",
		Long:  "Remove what nothing uses: images without a name, build cache, and what pulls and builds left behind",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if req.KeepBytes, err = budget("keep-storage", keep); err != nil {
				return err
			}
			if req.KeepImages, err = budget("keep-images", keepImages); err != nil {
				return err
			}
			return runPrune(cmd.Context(), e, req, force)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.BoolVarP(&req.All, "all", "a", false, "Remove all unused images not just dangling ones")
	f.BoolVarP(&force, "force", "f", false, "Do not prompt for confirmation")
	f.StringArrayVar(&req.Filters, "filter", nil, `Provide filter values (e.g. "until=24h", "label=KEY=VALUE")`)
	f.BoolVar(&req.Volumes, "volumes", false, "Prune anonymous volumes")
	f.StringVar(&keepImages, "keep-images", "", "Amount of disk space to keep for images: the oldest go first")
	f.StringVar(&keep, "keep-storage", "", "Amount of disk space to keep for the build cache")
	return cmd
}

// budget reads a size that is kept; "" is none.
func budget(flag, text string) (compose.Bytes, error) {
	if text == "" {
		return 0, nil
	}
	n, err := compose.ParseBytes(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("invalid --%s option %q: want a size such as 10GB", flag, text)
	}
	return n, nil
}

func runPrune(ctx context.Context, e *env, req api.PruneRequest, force bool) error {
	req.BuildCache, req.DryRun = true, e.flags.dryRun
	if !force && !req.DryRun {
		fmt.Fprint(e.stdout, pruneWarning(req))
		if !e.confirm("Are you sure you want to continue") {
			return errors.New("nothing was removed: --force (-f) does not ask")
		}
	}
	c, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	res, err := c.Prune(ctx, req)
	did := "Deleted"
	if req.DryRun {
		did = "Would delete"
	}
	list := func(what string, lines []string) {
		if len(lines) > 0 {
			fmt.Fprintf(e.stdout, "%s %s:\n%s\n\n", did, what, strings.Join(lines, "\n"))
		}
	}
	list("images", res.Removed)
	list("volumes", res.Volumes)
	list("build cache objects", res.Builds)
	if err == nil && !req.DryRun {
		fmt.Fprintf(e.stdout, "Total reclaimed space: %s\n", render.Size(res.Bytes))
	}
	return err
}

func pruneWarning(req api.PruneRequest) string {
	var b strings.Builder
	b.WriteString("WARNING! This will remove:\n")
	if req.Volumes {
		b.WriteString("  - all anonymous volumes not used by at least one container\n")
	}
	images := "all dangling images"
	if req.All {
		images = "all images without at least one container associated to them"
	}
	if req.KeepImages > 0 {
		images += ", the oldest first, until images take " + render.Size(int64(req.KeepImages))
	}
	b.WriteString("  - " + images + "\n")
	if req.KeepBytes > 0 {
		fmt.Fprintf(&b, "  - unused build cache beyond %s\n", render.Size(int64(req.KeepBytes)))
	} else {
		b.WriteString("  - unused build cache\n")
	}
	if len(req.Filters) > 0 {
		b.WriteString("\n  Items to be pruned will be filtered with:\n")
		for _, f := range req.Filters {
			b.WriteString("  - " + f + "\n")
		}
	}
	b.WriteString("\n")
	return b.String()
}
