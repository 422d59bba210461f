package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"devstack/cmd/devstack/render"
	"devstack/engine/api"
)

func newTopCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:               "top [SERVICES...]",
		Short:             "Display the running processes",
		RunE:              func(cmd *cobra.Command, services []string) error { return runTop(cmd.Context(), e, services) },
		ValidArgsFunction: e.serviceNames,
	}
}

func runTop(ctx context.Context, e *env, services []string) error {
	_, name, err := e.loadOrName(ctx, services...)
	if err != nil {
		return err
	}
	c, err := e.dialIfAny(ctx)
	if err != nil || c == nil {
		return err
	}
	defer c.Close()
	containers, err := c.Top(ctx, api.TopRequest{Name: name, Services: services})
	if err != nil || len(containers) == 0 {
		return err
	}
	var rows [][]string
	for _, k := range containers {
		number := strconv.Itoa(k.Number)
		if k.OneOff {
			number = "run"
		}
		for _, p := range k.Processes {
			rows = append(rows, []string{
				k.Service, number, p.User, strconv.Itoa(p.PID), strconv.Itoa(p.Parent), strconv.Itoa(p.CPU),
				startTime(p.Started, e.now()), p.TTY, clock(p.Time), render.Clean(p.Command),
			})
		}
	}
	return render.Table(e.tables(), []string{"SERVICE", "#", "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"}, rows)
}

// startTime is a time as `ps -ef` has it: of today, or the day.
func startTime(t, now time.Time) string {
	if t = t.Local(); now.Sub(t) < 24*time.Hour {
		return t.Format("15:04")
	}
	return t.Format("Jan02")
}

func clock(d time.Duration) string {
	s := int(d.Seconds())
	return fmt.Sprintf("%02d:%02d:%02d", s/3600, s/60%60, s%60)
}
