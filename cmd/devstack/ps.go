package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"devstack/cmd/devstack/render"
	"devstack/engine/api"
)

// formatHelp is docker's description of --format.
const formatHelp = `Format output using a custom template:
'table':            Print output in table format with column headers (default)
'table TEMPLATE':   Print output in table format using the given Go template
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.`

type psOptions struct {
	format, filter                        string
	status                                []string
	quiet, services, orphans, all, noTrim bool
}

func newPsCmd(e *env) *cobra.Command {
	var o psOptions
	cmd := &cobra.Command{
		Use:   "ps [OPTIONS] [SERVICE...]",
		Short: "List containers",
		RunE: func(cmd *cobra.Command, services []string) error {
			if err := o.parseFilter(); err != nil {
				return err
			}
			return runPs(cmd.Context(), e, &o, services)
		},
		ValidArgsFunction: e.serviceNames,
	}
	f := cmd.Flags()
	f.StringVar(&o.format, "format", "table", formatHelp)
	f.StringVar(&o.filter, "filter", "", "Filter services by a property (supported filters: status)")
	f.StringArrayVar(&o.status, "status", nil, "Filter services by status. Values: [paused | restarting | removing | running | dead | created | exited]")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Only display IDs")
	f.BoolVar(&o.services, "services", false, "Display services")
	f.BoolVar(&o.orphans, "orphans", true, "Include orphaned services (not declared by project)")
	f.BoolVarP(&o.all, "all", "a", false, "Show all stopped containers (including those created by the run command)")
	f.BoolVar(&o.noTrim, "no-trunc", false, "Don't truncate output")
	return cmd
}

func (o *psOptions) parseFilter() error {
	if o.filter == "" {
		return nil
	}
	key, value, ok := strings.Cut(o.filter, "=")
	switch {
	case !ok:
		return errors.New("arguments to --filter should be in form KEY=VAL")
	case key != "status":
		return fmt.Errorf("unknown filter %s", key)
	}
	o.status = append(o.status, value)
	return nil
}

func runPs(ctx context.Context, e *env, o *psOptions, services []string) error {
	p, name, err := e.loadOrName(ctx, services...)
	if err != nil {
		return err
	}
	if p != nil && len(services) == 0 && !o.orphans {
		services = p.ServiceNames()
	}
	containers, err := e.containers(ctx, api.PsRequest{
		Name: name, Services: services, All: o.all || len(o.status) > 0, Orphans: o.orphans,
	})
	if err != nil {
		return err
	}
	return o.print(e, containers)
}

// containers asks the engine; without one there are none.
func (e *env) containers(ctx context.Context, req api.PsRequest) ([]api.Container, error) {
	c, err := e.dialIfAny(ctx)
	if err != nil || c == nil {
		return nil, err
	}
	defer c.Close()
	return c.Ps(ctx, req)
}

func (o *psOptions) print(e *env, containers []api.Container) error {
	if len(o.status) > 0 {
		containers = slices.DeleteFunc(containers, func(c api.Container) bool { return !slices.Contains(o.status, c.State) })
	}
	slices.SortFunc(containers, func(a, b api.Container) int { return cmp.Compare(a.Name, b.Name) })
	switch {
	case o.quiet:
		for _, c := range containers {
			fmt.Fprintln(e.stdout, c.ID)
		}
		return nil
	case o.services:
		var seen []string
		for _, c := range containers {
			if !slices.Contains(seen, c.Service) {
				seen = append(seen, c.Service)
				fmt.Fprintln(e.stdout, c.Service)
			}
		}
		return nil
	}
	now := e.now()
	rows := make([]render.Container, len(containers))
	for i, c := range containers {
		rows[i] = render.Row(c, now, !o.noTrim)
	}
	out := e.tables()
	if o.noTrim {
		out = e.stdout
	}
	return render.Containers(out, o.format, rows)
}
