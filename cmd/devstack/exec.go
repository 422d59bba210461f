package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"devstack/engine/api"
	"devstack/engine/api/client"
)

func newExecCmd(e *env) *cobra.Command {
	var (
		req         api.ExecRequest
		noTTY, tty  bool
		interactive bool
	)
	cmd := &cobra.Command{
		Use:   "exec [OPTIONS] SERVICE COMMAND [ARGS...]",
		Short: "Execute a command in a running container",
		Args:  minArgs(2, "SERVICE", "COMMAND"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Service, req.Command = args[0], args[1:]
			req.TTY, req.Stdin = !noTTY && !req.Detach, interactive && !req.Detach
			return runExec(cmd.Context(), e, req)
		},
		ValidArgsFunction: e.firstServiceName,
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.BoolVarP(&req.Detach, "detach", "d", false, "Detached mode: Run command in the background")
	f.StringArrayVarP(&req.Env, "env", "e", nil, "Set environment variables")
	f.IntVar(&req.Index, "index", 0, "Index of the container if service has multiple replicas")
	f.BoolVar(&req.Privileged, "privileged", false, "Give extended privileges to the process")
	f.StringVarP(&req.User, "user", "u", "", "Run the command as this user")
	f.BoolVarP(&noTTY, "no-tty", "T", !isTerminal(e.stdout), "Disable pseudo-TTY allocation. By default 'devstack exec' allocates a TTY.")
	f.StringVarP(&req.WorkingDir, "workdir", "w", "", "Path to workdir directory for this command")
	f.BoolVarP(&interactive, "interactive", "i", true, "Keep STDIN open even if not attached")
	f.BoolVarP(&tty, "tty", "t", true, "Allocate a pseudo-TTY")
	_ = f.MarkHidden("interactive") // the flags were just made
	_ = f.MarkHidden("tty")
	acceptNoTTY(f)
	return cmd
}

func runExec(ctx context.Context, e *env, req api.ExecRequest) error {
	if e.flags.dryRun {
		return errDryRun
	}
	if err := e.checkInput(req.TTY, req.Stdin); err != nil {
		return err
	}
	c, name, err := e.dialFor(ctx, req.Service)
	if err != nil {
		return err
	}
	defer c.Close()
	req.Name, req.Size = name, ttySize(e.stdout)
	req.Env = fromEnviron(e, req.Env)
	code, err := e.interact(ctx, req.TTY, req.Stdin, nil, func(ctx context.Context, s client.Streams) (int, error) {
		return c.Exec(ctx, req, s)
	})
	if err != nil {
		return err
	}
	return exitWith(code)
}

// checkInput refuses a terminal session whose input is no terminal, as docker
// does.
func (e *env) checkInput(tty, stdin bool) error {
	if tty && stdin && !isTerminal(e.stdin) {
		return errors.New("the input device is not a TTY")
	}
	return nil
}

// fromEnviron gives a variable that is named without a value the client's own.
func fromEnviron(e *env, vars []string) []string {
	var out []string
	for _, kv := range vars {
		if key, ok := bareKey(kv); ok {
			v, set := e.lookup(key)
			if !set {
				continue
			}
			kv = key + "=" + v
		}
		out = append(out, kv)
	}
	return out
}

// interact joins the client's standard streams to a process in a container:
// raw terminal, its size as it changes, signals. The terminal is restored
// however fn ends.
func (e *env) interact(ctx context.Context, tty, stdin bool, emit func(api.Message), fn func(context.Context, client.Streams) (int, error)) (int, error) {
	s := client.Streams{Out: e.stdout, Err: e.stderr, Message: emit}
	if stdin {
		s.In = e.stdin
	}
	if !tty {
		s.Signals = e.signals.take(forwarded()...)
		defer e.signals.give()
		return fn(ctx, s)
	}
	restore, err := rawMode(e.stdin)
	if err != nil {
		return 0, err
	}
	defer restore()
	sizes, stop := watchSize(e.stdout)
	defer stop()
	s.Resize = sizes
	return fn(ctx, s)
}
