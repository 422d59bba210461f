package main

import (
	"context"

	"github.com/spf13/cobra"

	"devstack/engine/api"
	"devstack/engine/api/client"
)

func newAttachCmd(e *env) *cobra.Command {
	var req api.AttachRequest
	cmd := &cobra.Command{
		Use:   "attach [OPTIONS] SERVICE",
		Short: "Attach local standard input, output, and error streams to a service's running container",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Service = args[0]
			return runAttach(cmd.Context(), e, req)
		},
		ValidArgsFunction: e.firstServiceName,
	}
	f := cmd.Flags()
	f.IntVar(&req.Index, "index", 0, "index of the container if service has multiple replicas.")
	f.BoolVar(&req.NoStdin, "no-stdin", false, "Do not attach STDIN")
	f.BoolVar(&req.SigProxy, "sig-proxy", true, "Proxy all received signals to the process")
	return cmd
}

func runAttach(ctx context.Context, e *env, req api.AttachRequest) error {
	if e.flags.dryRun {
		return errDryRun
	}
	p, name, err := e.loadOrName(ctx, req.Service)
	if err != nil {
		return err
	}
	req.Name, req.Size = name, ttySize(e.stdout)
	tty := p != nil && p.Services[req.Service].TTY && !req.NoStdin && isTerminal(e.stdin)
	c, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	code, err := e.interact(ctx, tty, !req.NoStdin, nil, func(ctx context.Context, s client.Streams) (int, error) {
		return c.Attach(ctx, req, s)
	})
	if err != nil {
		return err
	}
	return exitWith(code)
}
