package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"devstack/cmd/devstack/render"
	"devstack/engine/api"
)

// check refuses what `stats` of whole projects cannot show.
func (o *statsOptions) check(e *env, services []string) error {
	if !o.allProjects && !o.aggregate {
		return nil
	}
	switch {
	case len(services) > 0:
		return errors.New("--all-projects and --aggregate report on whole projects and cannot be used with a SERVICE")
	case o.allProjects && e.flags.name != "":
		return errors.New("--all-projects reports on all projects and cannot be used with --project-name")
	case !slices.Contains([]string{"", "table", "json"}, o.format):
		return fmt.Errorf("format value %q could not be parsed: --all-projects and --aggregate know table and json", o.format)
	}
	return nil
}

// Rows of `stats --all-projects` and `stats --aggregate`.
type (
	projectContainerStats struct {
		Project, Name, CPUPerc, MemUsage, MemPerc, NetIO, BlockIO string
		PIDs                                                      uint64
	}
	projectStats struct {
		Project                           string
		Containers                        int
		CPUPerc, MemUsage, NetIO, BlockIO string
		PIDs                              uint64
	}
)

func (o *statsOptions) printProjects(e *env, before, now []api.ContainerStats) error {
	slices.SortFunc(now, func(a, b api.ContainerStats) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Name, b.Name))
	})
	if o.aggregate {
		return o.printSums(e, before, now)
	}
	rows, cells := []projectContainerStats{}, [][]string{}
	for _, s := range now {
		var r statsRow
		r.fill(s, before)
		rows = append(rows, projectContainerStats{s.Project, s.Name, r.CPUPerc, r.MemUsage, r.MemPerc, r.NetIO, r.BlockIO, s.PIDs})
		cells = append(cells, []string{s.Project, s.Name, r.CPUPerc, r.MemUsage, r.MemPerc, r.NetIO, r.BlockIO, r.PIDs})
	}
	if o.format == "json" {
		return render.JSONLines(e.stdout, rows)
	}
	return render.Table(e.tables(), []string{"PROJECT", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"}, cells)
}

// printSums adds up what the containers of each project use.
func (o *statsOptions) printSums(e *env, before, now []api.ContainerStats) error {
	rows, cells := []projectStats{}, [][]string{}
	for len(now) > 0 {
		n := slices.IndexFunc(now, func(s api.ContainerStats) bool { return s.Project != now[0].Project })
		if n < 0 {
			n = len(now)
		}
		var sum api.ContainerStats
		cpu := 0.0
		for _, s := range now[:n] {
			cpu += cpuShare(s, before)
			sum.Memory, sum.PIDs = sum.Memory+s.Memory, sum.PIDs+s.PIDs
			sum.NetRx, sum.NetTx = sum.NetRx+s.NetRx, sum.NetTx+s.NetTx
			sum.BlockRead, sum.BlockWrite = sum.BlockRead+s.BlockRead, sum.BlockWrite+s.BlockWrite
		}
		var r statsRow
		r.fill(sum, nil)
		row := projectStats{now[0].Project, n, percent(cpu, 1), render.BinarySize(sum.Memory), r.NetIO, r.BlockIO, sum.PIDs}
		rows = append(rows, row)
		cells = append(cells, []string{row.Project, strconv.Itoa(n), row.CPUPerc, row.MemUsage, row.NetIO, row.BlockIO, r.PIDs})
		now = now[n:]
	}
	if o.format == "json" {
		return render.JSONLines(e.stdout, rows)
	}
	return render.Table(e.tables(), []string{"PROJECT", "CONTAINERS", "CPU %", "MEM USAGE", "NET I/O", "BLOCK I/O", "PIDS"}, cells)
}
