package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"devstack/engine/api"
	"devstack/engine/api/client"
)

func newAttachCmd(e *env) *cobra.Command {
	var (
		req        api.AttachRequest
		detachKeys string
	)
	cmd := &cobra.Command{
		Use:   "attach [OPTIONS] SERVICE",
		Short: "Attach local standard input, output, and error streams to a service's running container",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Service = args[0]
			return runAttach(cmd.Context(), e, req, cmp.Or(detachKeys, detachDefault))
		},
		ValidArgsFunction: e.firstServiceName,
	}
	f := cmd.Flags()
	f.IntVar(&req.Index, "index", 0, "index of the container if service has multiple replicas.")
	f.StringVar(&detachKeys, "detach-keys", "", "Override the key sequence for detaching from a container.")
	f.BoolVar(&req.NoStdin, "no-stdin", false, "Do not attach STDIN")
	f.BoolVar(&req.SigProxy, "sig-proxy", true, "Proxy all received signals to the process")
	return cmd
}

func runAttach(ctx context.Context, e *env, req api.AttachRequest, detachKeys string) error {
	keys, err := parseKeys(detachKeys)
	if err != nil {
		return err
	}
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
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	in := *e
	if tty {
		in.stdin = &detachReader{in: e.stdin, keys: keys, detach: func() { cancel(errDetached) }}
	}
	code, err := in.interact(ctx, tty, !req.NoStdin, nil, func(ctx context.Context, s client.Streams) (int, error) {
		if !req.SigProxy && !tty {
			e.signals.give() // they are for this process
			s.Signals = nil
		}
		return c.Attach(ctx, req, s)
	})
	if context.Cause(ctx) == errDetached {
		fmt.Fprintln(e.stderr, errDetached)
		return nil
	}
	if err != nil {
		return err
	}
	return exitWith(code)
}
