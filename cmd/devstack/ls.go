package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"devstack/cmd/devstack/render"
	"devstack/engine/api"
)

func newLsCmd(e *env) *cobra.Command {
	var (
		format     string
		quiet, all bool
		filters    []string
	)
	cmd := &cobra.Command{
		Use:   "ls [OPTIONS]",
		Short: "List running compose projects",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keep, err := parseNameFilters(filters)
			if err != nil {
				return err
			}
			projects, err := listProjects(cmd.Context(), e, all, keep)
			if err != nil {
				return err
			}
			return printProjects(e, projects, format, quiet)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.StringVar(&format, "format", "table", "Format the output. Values: [table | json]")
	f.BoolVarP(&quiet, "quiet", "q", false, "Only display project names")
	f.StringArrayVar(&filters, "filter", nil, "Filter output based on conditions provided")
	f.BoolVarP(&all, "all", "a", false, "Show all stopped Compose projects")
	return cmd
}

// parseNameFilters reads name=PATTERN filters; a project passes if any
// matches.
func parseNameFilters(filters []string) (func(string) bool, error) {
	var patterns []*regexp.Regexp
	for _, f := range filters {
		key, value, ok := strings.Cut(f, "=")
		if !ok {
			return nil, fmt.Errorf("invalid filter %q: want KEY=VALUE", f)
		}
		if key != "name" {
			return nil, fmt.Errorf("invalid filter %q", key)
		}
		re, err := regexp.Compile(value)
		if err != nil {
			return nil, fmt.Errorf("invalid filter %q: %w", f, err)
		}
		patterns = append(patterns, re)
	}
	return func(name string) bool {
		return len(patterns) == 0 ||
			slices.ContainsFunc(patterns, func(re *regexp.Regexp) bool { return re.MatchString(name) })
	}, nil
}

func listProjects(ctx context.Context, e *env, all bool, keep func(string) bool) ([]api.LsResult, error) {
	c, err := e.dialIfAny(ctx)
	if err != nil || c == nil {
		return nil, err
	}
	defer c.Close()
	projects, err := c.Ls(ctx)
	for _, p := range projects {
		if !all { // then only what runs counts
			maps.DeleteFunc(p.Status, func(state string, _ int) bool { return !alive(state) })
		}
	}
	projects = slices.DeleteFunc(projects, func(p api.LsResult) bool {
		return !keep(p.Name) || !all && len(p.Status) == 0
	})
	slices.SortFunc(projects, func(a, b api.LsResult) int { return cmp.Compare(a.Name, b.Name) })
	return projects, err
}

// alive says whether a container in this state is one of those that `ls` and
// `ps` show without --all, and that `stop` would stop.
func alive(state string) bool {
	return state == api.StateRunning || state == api.StatePaused || state == api.StateRestarting
}

// projectRow is one project in the JSON of `ls`.
type projectRow struct{ Name, Status, ConfigFiles string }

func printProjects(e *env, projects []api.LsResult, format string, quiet bool) error {
	rows := make([]projectRow, len(projects))
	cells := make([][]string, len(projects))
	for i, p := range projects {
		rows[i] = projectRow{p.Name, combinedStatus(p.Status), strings.Join(p.ConfigFiles, ",")}
		cells[i] = []string{rows[i].Name, rows[i].Status, rows[i].ConfigFiles}
		if quiet {
			fmt.Fprintln(e.stdout, p.Name)
		}
	}
	switch {
	case quiet:
		return nil
	case format == "json":
		return json.NewEncoder(e.stdout).Encode(rows)
	case format == "table":
		return render.WideTable(e.tables(), []string{"NAME", "STATUS", "CONFIG FILES"}, cells)
	}
	return fmt.Errorf("format value %q could not be parsed", format)
}

// combinedStatus is "exited(1), running(2)".
func combinedStatus(counts map[string]int) string {
	var parts []string
	for _, state := range slices.Sorted(maps.Keys(counts)) {
		if counts[state] > 0 {
			parts = append(parts, fmt.Sprintf("%s(%d)", state, counts[state]))
		}
	}
	return strings.Join(parts, ", ")
}
