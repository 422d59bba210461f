package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"devstack/cmd/devstack/render"
	"devstack/engine/api"
)

func newVolumesCmd(e *env) *cobra.Command {
	var (
		format string
		quiet  bool
	)
	cmd := &cobra.Command{
		Use:   "volumes [OPTIONS] [SERVICE...]",
		Short: "List volumes",
		RunE: func(cmd *cobra.Command, services []string) error {
			return runVolumes(cmd.Context(), e, services, format, quiet)
		},
		ValidArgsFunction: e.serviceNames,
	}
	cmd.Flags().StringVar(&format, "format", "table", formatHelp)
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "Only display volume names")
	return cmd
}

// volumeRow is one volume, under the names of docker's templates; the fields
// stand in the order of the JSON.
type volumeRow struct {
	Availability string
	Driver       string
	Group        string
	Labels       string
	Links        string
	Mountpoint   string
	Name         string
	Scope        string
	Size         string
	Status       string

	labels map[string]string
}

// Label is the value of one label, for templates.
func (v volumeRow) Label(name string) string { return v.labels[name] }

func runVolumes(ctx context.Context, e *env, services []string, format string, quiet bool) error {
	// Volumes outlive the engine: it is started to tell of them.
	c, name, err := e.dialFor(ctx, services...)
	if err != nil {
		return err
	}
	defer c.Close()
	volumes, err := c.Volumes(ctx, api.VolumesRequest{Name: name, Services: services})
	if err != nil {
		return err
	}
	slices.SortFunc(volumes, func(a, b api.Volume) int { return cmp.Compare(a.Name, b.Name) })
	rows, cells := []volumeRow{}, [][]string{}
	for _, v := range volumes {
		if quiet {
			fmt.Fprintln(e.stdout, v.Name)
		}
		rows = append(rows, volumeRow{
			Availability: "N/A", Driver: v.Driver, Group: "N/A", Labels: render.Labels(v.Labels), Links: "N/A",
			Mountpoint: v.Mountpoint, Name: v.Name, Scope: "local", Size: "N/A", Status: "N/A", labels: v.Labels,
		})
		cells = append(cells, []string{v.Driver, v.Name})
	}
	if quiet {
		return nil
	}
	return render.List(e.tables(), format, []string{"DRIVER", "VOLUME NAME"}, cells, render.Headers{
		"Availability": "AVAILABILITY", "Driver": "DRIVER", "Group": "GROUP", "Labels": "LABELS", "Links": "LINKS",
		"Mountpoint": "MOUNTPOINT", "Name": "VOLUME NAME", "Scope": "SCOPE", "Size": "SIZE", "Status": "STATUS",
	}, rows)
}
