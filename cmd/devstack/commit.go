package main

import (
	"context"

	"github.com/spf13/cobra"

	"devstack/engine/api"
)

func newCommitCmd(e *env) *cobra.Command {
	var req api.CommitRequest
	cmd := &cobra.Command{
		Use:   "commit [OPTIONS] SERVICE [REPOSITORY[:TAG]]",
		Short: "Create a new image from a service container's changes",
		Args:  rangeArgs(1, "SERVICE", "REPOSITORY[:TAG]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Service = args[0]
			if len(args) > 1 {
				req.Ref = args[1]
			}
			return runCommit(cmd.Context(), e, req)
		},
		ValidArgsFunction: e.firstServiceName,
	}
	f := cmd.Flags()
	f.IntVar(&req.Index, "index", 0, "index of the container if service has multiple replicas.")
	f.BoolVarP(&req.Pause, "pause", "p", true, "Pause container during commit")
	f.StringVarP(&req.Message, "message", "m", "", "Commit message")
	f.StringVarP(&req.Author, "author", "a", "", `Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")`)
	f.StringArrayVarP(&req.Changes, "change", "c", nil, "Apply Dockerfile instruction to the created image")
	return cmd
}

func runCommit(ctx context.Context, e *env, req api.CommitRequest) error {
	if e.flags.dryRun {
		return errDryRun
	}
	c, name, err := e.dialFor(ctx, req.Service)
	if err != nil {
		return err
	}
	defer c.Close()
	req.Name = name
	return e.progress("commit", func(emit func(api.Message)) error {
		res, err := c.Commit(ctx, req, emit)
		if err == nil {
			emit(api.Message{Progress: &api.Progress{
				ID: "Container " + res.Container, State: api.Done, Text: "Committed as " + res.ID,
			}})
		}
		return err
	})
}
