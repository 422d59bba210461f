package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"devstack/cmd/devstack/render"
	"devstack/engine/api"
)

func newImageCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "image COMMAND",
		Short: "Manage images",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newImageLsCmd(e), newImageRmCmd(e), newHistoryCmd(e), newTagCmd(e))
	return cmd
}

type imageLsOptions struct {
	format                           string
	filters                          []string
	all, quiet, noTrunc, showDigests bool
}

func newImageLsCmd(e *env) *cobra.Command {
	var o imageLsOptions
	cmd := &cobra.Command{
		Use:     "ls [OPTIONS] [REPOSITORY[:TAG]]",
		Aliases: []string{"list"},
		Short:   "List images",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runImageLs(cmd.Context(), e, o, args)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.BoolVarP(&o.all, "all", "a", false, "Show all images (those without a name are shown by default, too)")
	f.BoolVar(&o.showDigests, "digests", false, "Show digests")
	f.StringArrayVar(&o.filters, "filter", nil, "Filter output based on conditions provided (dangling=true|false, reference=PATTERN)")
	f.StringVar(&o.format, "format", "table", formatHelp)
	f.BoolVar(&o.noTrunc, "no-trunc", false, "Don't truncate output")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Only show image IDs")
	return cmd
}

// storedImage is one image for templates and JSON, with docker's names.
type storedImage struct {
	Repository, Tag, Digest, ID, CreatedSince, CreatedAt, Size, Platform string
	InUse                                                                bool
}

func storedHeaders() render.Headers {
	return render.Headers{
		"Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "ID": "IMAGE ID", "CreatedSince": "CREATED",
		"CreatedAt": "CREATED AT", "Size": "SIZE", "Platform": "PLATFORM", "InUse": "IN USE",
	}
}

func runImageLs(ctx context.Context, e *env, o imageLsOptions, args []string) error {
	keep, err := imageFilter(o.filters, args)
	if err != nil {
		return err
	}
	c, err := e.dial(ctx) // the store is the engine's
	if err != nil {
		return err
	}
	defer c.Close()
	images, err := c.Images(ctx, api.ImagesRequest{All: true})
	if err != nil {
		return err
	}
	images = slices.DeleteFunc(images, func(i api.Image) bool { return !keep(i) })
	slices.SortFunc(images, func(a, b api.Image) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.Ref, b.Ref), cmp.Compare(a.Platform, b.Platform))
	})
	if o.quiet {
		var seen []string
		for _, i := range images {
			id := shortID(i.ID)
			if o.noTrunc {
				id = i.ID
			}
			if !slices.Contains(seen, id) {
				seen = append(seen, id)
				fmt.Fprintln(e.stdout, id)
			}
		}
		return nil
	}
	rows := make([]storedImage, len(images))
	for n, i := range images {
		rows[n] = o.row(i, e.now())
		// A lock may hold on to what the tag stood for once.
		tag, _, pinned := strings.Cut(i.Ref, "@")
		if pinned && slices.ContainsFunc(images, func(o api.Image) bool { return o.Ref == tag }) {
			rows[n].Tag = orNone("")
		}
	}
	return o.print(e, rows)
}

func (o *imageLsOptions) row(i api.Image, now time.Time) storedImage {
	repo, tag := splitTag(i.Ref)
	r := storedImage{
		Repository: orNone(repo), Tag: orNone(tag), Digest: orNone(i.Digest), ID: shortID(i.ID), CreatedSince: ago(i.Created, now),
		Size: render.ShortSize(i.Size), Platform: i.Platform, InUse: i.InUse,
	}
	if !i.Created.IsZero() {
		r.CreatedAt = i.Created.Format("2006-01-02 15:04:05 -0700 MST")
	}
	if o.noTrunc {
		r.ID = i.ID
	}
	return r
}

func (o *imageLsOptions) print(e *env, rows []storedImage) error {
	format := o.format
	switch {
	case format == "json":
		format = "{{json .}}"
	case (format == "table" || format == "") && o.showDigests:
		format = `table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}`
	case format == "table" || format == "":
		format = `table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}`
	}
	return render.Template(e.stdout, format, storedHeaders(), rows)
}

// imageFilter reads --filter and the argument of `image ls`.
func imageFilter(filters, args []string) (func(api.Image) bool, error) {
	var conditions []func(api.Image) bool
	for _, a := range args {
		filters = append(slices.Clone(filters), "reference="+a)
	}
	for _, f := range filters {
		key, value, ok := strings.Cut(f, "=")
		switch {
		case !ok:
			return nil, fmt.Errorf("invalid filter %q: want KEY=VALUE", f)
		case key == "dangling" && (value == "true" || value == "false"):
			conditions = append(conditions, func(i api.Image) bool { return (i.Ref == "") == (value == "true") })
		case key == "reference":
			if _, err := path.Match(value, ""); err != nil {
				return nil, fmt.Errorf("invalid filter %q: %w", f, err)
			}
			conditions = append(conditions, func(i api.Image) bool {
				repo, _ := splitTag(i.Ref)
				full, _ := path.Match(value, i.Ref)
				short, _ := path.Match(value, repo)
				return i.Ref != "" && (full || short)
			})
		default:
			return nil, fmt.Errorf("invalid filter %q", f)
		}
	}
	return func(i api.Image) bool {
		return !slices.ContainsFunc(conditions, func(holds func(api.Image) bool) bool { return !holds(i) })
	}, nil
}

func newImageRmCmd(e *env) *cobra.Command {
	var req api.RemoveImageRequest
	cmd := &cobra.Command{
		Use:     "rm [OPTIONS] IMAGE [IMAGE...]",
		Aliases: []string{"remove"},
		Short:   "Remove one or more images",
		Args:    minArgs(1, "IMAGE"),
		RunE: func(cmd *cobra.Command, refs []string) error {
			req.Refs = refs
			return runImageRm(cmd.Context(), e, req)
		},
		ValidArgsFunction: e.imageNames,
	}
	cmd.Flags().BoolVarP(&req.Force, "force", "f", false, "Force removal of the image")
	return cmd
}

func runImageRm(ctx context.Context, e *env, req api.RemoveImageRequest) error {
	if e.flags.dryRun {
		return errDryRun
	}
	c, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	// One after the other: what has gone is said even if another fails.
	var errs []error
	for _, ref := range req.Refs {
		res, err := c.RemoveImage(ctx, api.RemoveImageRequest{Refs: []string{ref}, Force: req.Force})
		for _, name := range res.Untagged {
			fmt.Fprintln(e.stdout, "Untagged:", name)
		}
		for _, id := range res.Deleted {
			fmt.Fprintln(e.stdout, "Deleted:", id)
		}
		for _, text := range res.Missing {
			fmt.Fprintln(e.stderr, text)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// imageNames completes the names of images.
func (e *env) imageNames(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	images, err := e.images(cmd.Context(), api.ImagesRequest{All: true})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, i := range images {
		if i.Ref != "" && !slices.Contains(args, i.Ref) && !slices.Contains(names, i.Ref) {
			names = append(names, i.Ref)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
