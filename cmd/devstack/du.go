package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"devstack/cmd/devstack/render"
	"devstack/engine/api"
)

func newDuCmd(e *env) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "du [OPTIONS]",
		Short: "Show disk usage, in total and by project",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDu(cmd.Context(), e, format)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&format, "format", "table", "Format the output. Values: [table | json]")
	return cmd
}

func runDu(ctx context.Context, e *env, format string) error {
	if format != "table" && format != "json" {
		return fmt.Errorf("format value %q could not be parsed", format)
	}
	c, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	u, err := c.DiskUsage(ctx)
	if err != nil {
		return err
	}
	if format == "json" {
		enc := json.NewEncoder(e.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(u)
	}
	return printUsage(e, u)
}

func printUsage(e *env, u api.DiskUsageResult) error {
	var kinds, projects [][]string
	for _, k := range u.Kinds {
		reclaimable := render.Size(k.Reclaimable)
		if k.Bytes > 0 {
			reclaimable += fmt.Sprintf(" (%d%%)", k.Reclaimable*100/k.Bytes)
		}
		kinds = append(kinds, []string{k.Kind, strconv.Itoa(k.Count), strconv.Itoa(k.Active), render.Size(k.Bytes), reclaimable})
	}
	if err := render.Table(e.tables(), []string{"TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"}, kinds); err != nil {
		return err
	}
	for _, p := range u.Projects {
		projects = append(projects, []string{
			orNone(p.Project), render.Size(p.Images), render.Size(p.Containers), render.Size(p.Volumes), render.Size(p.Builds),
		})
	}
	if len(projects) == 0 {
		return nil
	}
	fmt.Fprintln(e.stdout)
	return render.Table(e.tables(), []string{"PROJECT", "IMAGES", "CONTAINERS", "VOLUMES", "BUILD CACHE"}, projects)
}
