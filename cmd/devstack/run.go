package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mattn/go-shellwords"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"devstack/cmd/devstack/render"
	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/api/client"
)

type runOptions struct {
	detach, remove, noTTY, tty     bool
	interactive, noDeps, quiet     bool
	useAliases, servicePorts       bool
	env, envFiles, labels          []string
	volumes, publish               []string
	capAdd, capDrop                []string
	user, workdir, name, pull      string
	entrypoint                     string
	build, quietPull, quietBuild   bool
	removeOrphans, entrypointGiven bool
	frozen, autoPorts, noRecreate  bool
}

func newRunCmd(e *env) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run [OPTIONS] SERVICE [COMMAND] [ARGS...]",
		Short: "Run a one-off command on a service",
		Args:  minArgs(1, "SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(o.publish) > 0 && o.servicePorts {
				return errors.New("--service-ports and --publish are incompatible")
			}
			if err := checkPull(o.pull); err != nil {
				return err
			}
			o.entrypointGiven = cmd.Flags().Changed("entrypoint")
			return runRun(cmd.Context(), e, &o, cmd.Flags(), args[0], args[1:])
		},
		ValidArgsFunction: e.firstServiceName,
	}
	o.add(cmd.Flags(), e)
	return cmd
}

func (o *runOptions) add(f *pflag.FlagSet, e *env) {
	f.SetInterspersed(false)
	f.BoolVarP(&o.detach, "detach", "d", false, "Run container in background and print container ID")
	f.StringArrayVarP(&o.env, "env", "e", nil, "Set environment variables")
	f.StringArrayVar(&o.envFiles, "env-from-file", nil, "Set environment variables from file")
	f.StringArrayVarP(&o.labels, "label", "l", nil, "Add or override a label")
	f.BoolVar(&o.remove, "rm", false, "Automatically remove the container when it exits")
	f.BoolVarP(&o.noTTY, "no-tty", "T", !isTerminal(e.stdout), "Disable pseudo-TTY allocation (default: auto-detected)")
	f.StringVar(&o.name, "name", "", "Assign a name to the container")
	f.StringVarP(&o.user, "user", "u", "", "Run as specified username or uid")
	f.StringVarP(&o.workdir, "workdir", "w", "", "Working directory inside the container")
	f.StringVar(&o.entrypoint, "entrypoint", "", "Override the entrypoint of the image")
	f.StringArrayVar(&o.capAdd, "cap-add", nil, "Add Linux capabilities")
	f.StringArrayVar(&o.capDrop, "cap-drop", nil, "Drop Linux capabilities")
	f.BoolVar(&o.noRecreate, "no-recreate", false, "If dependent containers already exist, don't recreate them, even if their configuration diverged")
	f.BoolVar(&o.noDeps, "no-deps", false, "Don't start linked services")
	f.StringArrayVarP(&o.volumes, "volume", "v", nil, "Bind mount a volume")
	f.StringArrayVarP(&o.publish, "publish", "p", nil, "Publish a container's port(s) to the host")
	f.BoolVar(&o.useAliases, "use-aliases", false, "Use the service's network useAliases in the network(s) the container connects to")
	f.BoolVarP(&o.servicePorts, "service-ports", "P", false, "Run command with all service's ports enabled and mapped to the host")
	f.StringVar(&o.pull, "pull", "policy", `Pull image before running ("always"|"missing"|"never")`)
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Don't print anything to STDOUT")
	f.BoolVar(&o.build, "build", false, "Build image before starting container")
	f.BoolVar(&o.quietBuild, "quiet-build", false, "Suppress progress output from the build process")
	f.BoolVar(&o.quietPull, "quiet-pull", false, "Pull without printing progress information")
	f.BoolVar(&o.removeOrphans, "remove-orphans", false, "Remove containers for services not defined in the Compose file")
	f.BoolVarP(&o.interactive, "interactive", "i", true, "Keep STDIN open even if not attached")
	f.BoolVarP(&o.tty, "tty", "t", true, "Allocate a pseudo-TTY")
	addFrozen(f, &o.frozen)
	addAutoPorts(f, &o.autoPorts)
	_ = f.MarkHidden("tty") // the flag was just made
	acceptNoTTY(f)
}

func runRun(ctx context.Context, e *env, o *runOptions, f *pflag.FlagSet, service string, command []string) error {
	if e.flags.dryRun {
		return errDryRun
	}
	tty, stdin := !o.noTTY && !o.detach, o.interactive && !o.detach
	if err := e.checkInput(tty, stdin); err != nil {
		return err
	}
	p, err := e.load(ctx, service)
	if err != nil {
		return err
	}
	orphans, err := e.orphans(p, f, o.removeOrphans)
	if err != nil {
		return err
	}
	e.autoPorts(p, o.autoPorts)
	if err := e.keepName(p.Name); err != nil {
		return err
	}
	s := p.Services[service]
	if err := o.apply(ctx, e, p, &s, command); err != nil {
		return err
	}
	pins, err := e.pins(ctx, p, o.frozen)
	if err != nil {
		return err
	}
	s.TTY, s.StdinOpen = tty, stdin
	p.Services[service] = s
	if s.Provider == nil {
		if _, _, err := e.outside(ctx, p, []string{service}); err != nil {
			return err
		}
	}
	c, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	req := api.RunRequest{
		Credentials: e.credentials(),
		Project:     p, Meta: e.meta(p), Service: service, ContainerName: o.name, Remove: o.remove,
		NoDeps: o.noDeps, NoRecreate: o.noRecreate, Separator: e.separator(p), UseAliases: o.useAliases, TTY: tty, Stdin: stdin, Detach: o.detach,
		Pull: o.pull, Build: o.build, Lock: pins, Size: ttySize(e.stdout),
		RemoveOrphans: orphans.remove, IgnoreOrphans: orphans.ignore,
	}
	code, err := o.start(ctx, e, c, req)
	if err != nil {
		return err
	}
	return exitWith(code)
}

// start runs the container. Dependencies show progress; it ends when the
// container says something or begins to listen.
func (o *runOptions) start(ctx context.Context, e *env, c *client.Client, req api.RunRequest) (int, error) {
	if o.quiet {
		e.flags.progress = render.ModeQuiet
	}
	d := closeOnce(e.display("run"))
	defer d.Close()
	out := *e
	out.stdout, out.stderr = afterClose(d, e.stdout), afterClose(d, e.stderr)
	return out.interact(ctx, req.TTY, req.Stdin, quietly(emitTo(d), o.quietPull, o.quietBuild), func(ctx context.Context, s client.Streams) (int, error) {
		return c.Run(ctx, req, s)
	})
}

// apply changes the service as the flags say.
func (o *runOptions) apply(ctx context.Context, e *env, p *compose.Project, s *compose.Service, command []string) error {
	if len(command) > 0 {
		s.Command = command
	}
	if o.entrypointGiven {
		words, err := shellwords.Parse(o.entrypoint)
		if err != nil {
			return fmt.Errorf("parse --entrypoint %q: %w", o.entrypoint, err)
		}
		s.Entrypoint = append([]string{}, words...)
		if len(command) == 0 {
			s.Command = []string{} // the declared one belongs to the declared entrypoint
		}
	}
	if o.user != "" {
		s.User = o.user
	}
	if o.workdir != "" {
		s.WorkingDir = o.workdir
	}
	s.CapAdd, s.CapDrop = slices.Concat(s.CapAdd, o.capAdd), slices.Concat(s.CapDrop, o.capDrop)
	s.Restart, s.ContainerName, s.Scale = "", "", nil
	if s.Deploy != nil {
		d := *s.Deploy
		d.RestartPolicy, d.Replicas = nil, nil
		s.Deploy = &d
	}
	for _, l := range o.labels {
		key, value, ok := strings.Cut(l, "=")
		if !ok {
			return errors.New("label must be set as KEY=VALUE")
		}
		s.Labels = with(s.Labels, key, value)
	}
	if !o.servicePorts {
		s.Ports = nil
	}
	return o.applyForms(ctx, e, p, s)
}

func with[V any](m map[string]V, key string, value V) map[string]V {
	out := map[string]V{key: value}
	for k, v := range m {
		if k != key {
			out[k] = v
		}
	}
	return out
}
