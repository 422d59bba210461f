package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"devstack/cmd/devstack/render"
	"devstack/engine/api"
)

type historyOptions struct {
	format                string
	human, quiet, noTrunc bool
}

func newHistoryCmd(e *env) *cobra.Command {
	var o historyOptions
	cmd := &cobra.Command{
		Use:   "history [OPTIONS] IMAGE",
		Short: "Show the history of an image",
		Args:  exactArgs(1, "IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runHistory(cmd.Context(), e, o, args[0])
		},
		ValidArgsFunction: e.imageNames,
	}
	f := cmd.Flags()
	f.StringVar(&o.format, "format", "table", formatHelp)
	f.BoolVarP(&o.human, "human", "H", true, "Print sizes and dates in human readable format")
	f.BoolVar(&o.noTrunc, "no-trunc", false, "Don't truncate output")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Only show image IDs")
	return cmd
}

// historyRow is one step, with docker's names.
type historyRow struct{ ID, CreatedSince, CreatedAt, CreatedBy, Size, Comment string }

func runHistory(ctx context.Context, e *env, o historyOptions, ref string) error {
	c, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	steps, err := c.History(ctx, api.HistoryRequest{Ref: ref})
	if err != nil {
		return err
	}
	rows := make([]historyRow, len(steps))
	for i, s := range steps {
		rows[i] = o.row(s, e.now())
	}
	if o.quiet {
		for _, r := range rows {
			fmt.Fprintln(e.stdout, r.ID)
		}
		return nil
	}
	format := o.format
	switch {
	case format == "json":
		format = "{{json .}}"
	case (format == "table" || format == "") && !o.human:
		format = `table {{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}`
	case format == "table" || format == "":
		format = `table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}`
	}
	return render.Template(e.stdout, format, render.Headers{
		"ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT",
	}, rows)
}

// maxCreatedBy is how much of a command the table shows.
const maxCreatedBy = 45

func (o *historyOptions) row(s api.HistoryEntry, now time.Time) historyRow {
	r := historyRow{
		ID: "<missing>", CreatedSince: ago(s.Created, now), CreatedBy: strings.ReplaceAll(s.CreatedBy, "\t", " "),
		Size: strconv.FormatInt(s.Size, 10), Comment: s.Comment,
	}
	if s.ID != "" {
		if r.ID = s.ID; !o.noTrunc {
			r.ID = shortID(s.ID)
		}
	}
	if !s.Created.IsZero() {
		r.CreatedAt = s.Created.Format(time.RFC3339)
	}
	if o.human {
		r.Size = render.ShortSize(s.Size)
	}
	if by := []rune(r.CreatedBy); !o.noTrunc && len(by) > maxCreatedBy {
		r.CreatedBy = string(by[:maxCreatedBy-1]) + "…"
	}
	return r
}
