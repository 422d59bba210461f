package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"devstack/cmd/devstack/render"
	"devstack/engine/api"
)

type logsOptions struct {
	follow, noColor, noPrefix, timestamps bool
	index                                 int
	since, until, tail                    string
}

func newLogsCmd(e *env) *cobra.Command {
	var o logsOptions
	cmd := &cobra.Command{
		Use:   "logs [OPTIONS] [SERVICE...]",
		Short: "View output from containers",
		RunE: func(cmd *cobra.Command, services []string) error {
			if o.index > 0 && len(services) != 1 {
				return fmt.Errorf("--index requires one service to be selected")
			}
			return runLogs(cmd.Context(), e, &o, services)
		},
		ValidArgsFunction: e.serviceNames,
	}
	f := cmd.Flags()
	f.BoolVarP(&o.follow, "follow", "f", false, "Follow log output")
	f.IntVar(&o.index, "index", 0, "index of the container if service has multiple replicas")
	f.StringVar(&o.since, "since", "", "Show logs since timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)")
	f.StringVar(&o.until, "until", "", "Show logs before a timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)")
	f.BoolVar(&o.noColor, "no-color", false, "Produce monochrome output")
	f.BoolVar(&o.noPrefix, "no-log-prefix", false, "Don't print prefix in logs")
	f.BoolVarP(&o.timestamps, "timestamps", "t", false, "Show timestamps")
	f.StringVarP(&o.tail, "tail", "n", "all", "Number of lines to show from the end of the logs for each container")
	return cmd
}

func (o *logsOptions) request(now time.Time) (req api.LogsRequest, err error) {
	req.Follow, req.Index, req.Tail = o.follow, o.index, -1
	if o.tail != "all" {
		if req.Tail, err = strconv.Atoi(o.tail); err != nil || req.Tail < -1 {
			return req, fmt.Errorf("invalid --tail value %q: want a number of lines or \"all\"", o.tail)
		}
	}
	if req.Since, err = parseTime(o.since, now); err != nil {
		return req, fmt.Errorf("invalid value for \"since\": %w", err)
	}
	if req.Until, err = parseTime(o.until, now); err != nil {
		return req, fmt.Errorf("invalid value for \"until\": %w", err)
	}
	return req, nil
}

func runLogs(ctx context.Context, e *env, o *logsOptions, services []string) error {
	req, err := o.request(e.now())
	if err != nil {
		return err
	}
	_, name, err := e.loadOrName(ctx, services...)
	if err != nil {
		return err
	}
	req.Name, req.Services = name, services
	c, err := e.dialIfAny(ctx)
	if err != nil || c == nil {
		return err
	}
	defer c.Close()
	containers, err := c.Ps(ctx, api.PsRequest{Name: name, Services: services, All: true})
	if err != nil {
		return err
	}
	slices.SortFunc(containers, func(a, b api.Container) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Number, b.Number))
	})
	var names []string
	for _, k := range containers {
		if !k.OneOff && (o.index == 0 || k.Number == o.index) {
			names = append(names, shortName(k.Project, k.Name))
		}
	}
	style := e.style(e.stdout)
	if o.noColor {
		style = render.Plain
	}
	out, flush := e.logWriter(o.follow)
	logs := render.NewLogs(out, e.stderr, render.LogOptions{Style: style, NoPrefix: o.noPrefix, Timestamps: o.timestamps}, names...)
	err = c.Logs(ctx, req, func(m api.Message) {
		if m.Log != nil {
			_ = logs.Line(*m.Log) // a closed stdout ends the program by SIGPIPE
		}
	})
	flush()
	return err
}

// logWriter collects lines that are all there already; lines that are waited
// for go out one by one.
func (e *env) logWriter(follow bool) (io.Writer, func()) {
	if follow {
		return e.stdout, func() {}
	}
	w := bufio.NewWriterSize(e.stdout, 64<<10)
	return w, func() { _ = w.Flush() }
}

// parseTime reads a moment as docker does: RFC 3339 with parts left out, Unix
// seconds with a fraction, or a duration before now.
func parseTime(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02Z07:00"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	seconds, fraction, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || strings.Trim(fraction, "0123456789") != "" {
		return time.Time{}, fmt.Errorf("%q is neither a time (2013-01-02T13:23:37Z) nor a duration (42m)", s)
	}
	nsec, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 64) // digits only, see above
	return time.Unix(sec, nsec), nil
}
