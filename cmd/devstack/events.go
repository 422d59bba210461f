package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"devstack/engine/api"
)

func newEventsCmd(e *env) *cobra.Command {
	var (
		asJSON       bool
		since, until string
	)
	cmd := &cobra.Command{
		Use:   "events [OPTIONS] [SERVICE...]",
		Short: "Receive real time events from containers",
		RunE: func(cmd *cobra.Command, services []string) (err error) {
			req := api.EventsRequest{Services: services}
			if req.Since, err = parseTime(since, e.now()); err != nil {
				return fmt.Errorf("invalid value for \"since\": %w", err)
			}
			if req.Until, err = parseTime(until, e.now()); err != nil {
				return fmt.Errorf("invalid value for \"until\": %w", err)
			}
			return runEvents(cmd.Context(), e, req, asJSON)
		},
		ValidArgsFunction: e.serviceNames,
	}
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "Output events as a stream of json objects")
	f.StringVar(&since, "since", "", "Show all events created since timestamp")
	f.StringVar(&until, "until", "", "Stream events until this timestamp")
	return cmd
}

func runEvents(ctx context.Context, e *env, req api.EventsRequest, asJSON bool) error {
	c, name, err := e.dialFor(ctx, req.Services...)
	if err != nil {
		return err
	}
	defer c.Close()
	req.Name = name
	enc := json.NewEncoder(e.stdout)
	return c.Events(ctx, req, func(ev api.Event) {
		if asJSON {
			// A closed stdout ends the program by SIGPIPE.
			_ = enc.Encode(eventLine{ev.Time, ev.Type, ev.Action, ev.ID, ev.Service, ev.Attributes})
			return
		}
		fmt.Fprintln(e.stdout, eventText(ev))
	})
}

// eventLine has Compose's keys.
type eventLine struct {
	Time       time.Time         `json:"time"`
	Type       string            `json:"type"`
	Action     string            `json:"action"`
	ID         string            `json:"id"`
	Service    string            `json:"service"`
	Attributes map[string]string `json:"attributes"`
}

func eventText(ev api.Event) string {
	id := ev.ID
	if id == "" {
		id = ev.Container
	}
	attrs := make([]string, 0, len(ev.Attributes)+2)
	if ev.Container != "" {
		attrs = append(attrs, "name="+ev.Container)
	}
	if ev.Service != "" {
		attrs = append(attrs, "service="+ev.Service)
	}
	for _, k := range slices.Sorted(maps.Keys(ev.Attributes)) {
		attrs = append(attrs, k+"="+ev.Attributes[k])
	}
	return fmt.Sprintf("%s %s %s %s (%s)", ev.Time.Local().Format("2006-01-02 15:04:05.000000"),
		ev.Type, ev.Action, id, strings.Join(attrs, ", "))
}
