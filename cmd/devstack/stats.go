package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"devstack/cmd/devstack/render"
	"devstack/engine/api"
	"devstack/engine/api/client"
)

type statsOptions struct {
	all, noStream, noTrunc bool
	allProjects, aggregate bool
	format                 string
}

func newStatsCmd(e *env) *cobra.Command {
	var o statsOptions
	cmd := &cobra.Command{
		Use:   "stats [OPTIONS] [SERVICE]",
		Short: "Display a live stream of container(s) resource usage statistics",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, services []string) error {
			return runStats(cmd.Context(), e, &o, services)
		},
		ValidArgsFunction: e.firstServiceName,
	}
	f := cmd.Flags()
	f.BoolVarP(&o.all, "all", "a", false, "Show all containers (default shows just running)")
	f.StringVar(&o.format, "format", "table", formatHelp)
	f.BoolVar(&o.noStream, "no-stream", false, "Disable streaming stats and only pull the first result")
	f.BoolVar(&o.noTrunc, "no-trunc", false, "Do not truncate output")
	f.BoolVar(&o.allProjects, "all-projects", false, "Show the containers of all projects instead of the current one, with their project (only 'table' and 'json' formats)")
	f.BoolVar(&o.aggregate, "aggregate", false, "Show one line per project, summing the resource usage of its containers (only 'table' and 'json' formats)")
	return cmd
}

// The use of the CPU is the difference between two samples.
const (
	statsInterval = time.Second
	statsOnce     = 300 * time.Millisecond
)

func runStats(ctx context.Context, e *env, o *statsOptions, services []string) error {
	if err := o.check(e, services); err != nil {
		return err
	}
	name := ""
	if !o.allProjects {
		var err error
		if _, name, err = e.loadOrName(ctx, services...); err != nil {
			return err
		}
	}
	c, err := e.dialIfAny(ctx)
	if err != nil {
		return err
	}
	if c == nil {
		return o.print(e, nil, nil)
	}
	defer c.Close()
	req := api.StatsRequest{Name: name, Services: services, All: o.all}
	before, err := c.Stats(ctx, req)
	if err != nil {
		return err
	}
	interval := statsInterval
	if o.noStream {
		interval = statsOnce
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if before, err = o.next(ctx, e, c, req, before); err != nil || o.noStream {
			return err
		}
	}
}

// next takes a sample and prints it.
func (o *statsOptions) next(ctx context.Context, e *env, c *client.Client, req api.StatsRequest, before []api.ContainerStats) ([]api.ContainerStats, error) {
	now, err := c.Stats(ctx, req)
	if err != nil {
		return nil, err
	}
	if !o.noStream && e.style(e.stdout) == render.Coloured {
		io.WriteString(e.stdout, "\033[H\033[J") // again from the top
	}
	return now, o.print(e, before, now)
}

// statsRow is one container, under the names of docker's templates; the
// fields stand in the order of the JSON.
type statsRow struct {
	BlockIO   string
	CPUPerc   string
	Container string
	ID        string
	MemPerc   string
	MemUsage  string
	Name      string
	NetIO     string
	PIDs      string
}

func (o *statsOptions) print(e *env, before, now []api.ContainerStats) error {
	if o.allProjects || o.aggregate {
		return o.printProjects(e, before, now)
	}
	rows, cells := []statsRow{}, [][]string{}
	slices.SortFunc(now, func(a, b api.ContainerStats) int { return cmp.Compare(a.Name, b.Name) })
	for _, s := range now {
		id := s.ID
		if !o.noTrunc {
			id = shortID(id)
		}
		r := statsRow{
			Container: id, ID: id, Name: s.Name,
			BlockIO: "--", CPUPerc: "--", MemPerc: "--", MemUsage: "-- / --", NetIO: "--", PIDs: "--",
		}
		if s.Running {
			r.fill(s, before)
		}
		rows = append(rows, r)
		cells = append(cells, []string{r.ID, r.Name, r.CPUPerc, r.MemUsage, r.MemPerc, r.NetIO, r.BlockIO, r.PIDs})
	}
	headers := []string{"CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"}
	return render.List(e.tables(), o.format, headers, cells, render.Headers{
		"ID": "CONTAINER ID", "Container": "CONTAINER", "Name": "NAME", "CPUPerc": "CPU %", "MemUsage": "MEM USAGE / LIMIT",
		"MemPerc": "MEM %", "NetIO": "NET I/O", "BlockIO": "BLOCK I/O", "PIDs": "PIDS",
	}, rows)
}

func (r *statsRow) fill(s api.ContainerStats, before []api.ContainerStats) {
	r.BlockIO = render.ShortSize(int64(s.BlockRead)) + " / " + render.ShortSize(int64(s.BlockWrite))
	r.NetIO = render.ShortSize(int64(s.NetRx)) + " / " + render.ShortSize(int64(s.NetTx))
	r.MemUsage = render.BinarySize(s.Memory) + " / " + render.BinarySize(s.MemoryLimit)
	r.MemPerc = percent(float64(s.Memory), float64(s.MemoryLimit))
	r.PIDs = strconv.FormatUint(s.PIDs, 10)
	r.CPUPerc = percent(cpuShare(s, before), 1)
}

// cpuShare is how much of a processor a container has used since before.
func cpuShare(s api.ContainerStats, before []api.ContainerStats) float64 {
	i := slices.IndexFunc(before, func(b api.ContainerStats) bool { return b.ID == s.ID && b.Running })
	if i < 0 || s.CPU <= before[i].CPU || !s.Time.After(before[i].Time) {
		return 0
	}
	return float64(s.CPU-before[i].CPU) / float64(s.Time.Sub(before[i].Time))
}

func percent(part, whole float64) string {
	if whole <= 0 {
		return "0.00%"
	}
	return fmt.Sprintf("%.2f%%", 100*part/whole)
}
