package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"devstack/compose"
	"devstack/engine/api"
)

// buildOptions are the flags of build that are not part of the request.
type buildOptions struct {
	args, ssh []string
	memory    int64
	quiet     bool
	print     bool
	frozen    bool
}

func newBuildCmd(e *env) *cobra.Command {
	var (
		req api.BuildRequest
		o   buildOptions
	)
	cmd := &cobra.Command{
		Use:   "build [OPTIONS] [SERVICE...]",
		Short: "Build or rebuild services",
		RunE: func(cmd *cobra.Command, services []string) error {
			req.Services = services
			return runBuild(cmd.Context(), e, req, o)
		},
		ValidArgsFunction: e.serviceNames,
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.args, "build-arg", nil, "Set build-time variables for services")
	f.BoolVar(&req.Check, "check", false, "Check build configuration")
	addFrozen(f, &o.frozen)
	f.Int64VarP(&o.memory, "memory", "m", 0, "Set memory limit for the build container, in bytes")
	f.BoolVar(&req.NoCache, "no-cache", false, "Do not use cache when building the image")
	f.BoolVar(&o.print, "print", false, "Print what would be built, as JSON")
	f.BoolVar(&req.Pull, "pull", false, "Always attempt to pull a newer version of the image")
	f.BoolVar(&req.Push, "push", false, "Push service images")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Suppress the build output")
	f.StringArrayVar(&o.ssh, "ssh", nil, "Set SSH authentications used when building service images")
	f.BoolVar(&req.WithDeps, "with-dependencies", false, "Also build dependencies (transitively)")
	return cmd
}

func runBuild(ctx context.Context, e *env, req api.BuildRequest, o buildOptions) error {
	if e.flags.dryRun {
		return errDryRun
	}
	p, err := e.load(ctx, req.Services...)
	if err != nil {
		return err
	}
	req.Project, req.Credentials, req.WorkingDir = p, e.credentials(), p.WorkingDir
	req.Memory = compose.Bytes(o.memory)
	req.Args = buildArgs(o.args, e)
	if req.SSH, err = sshKeys(o.ssh, e); err != nil {
		return err
	}
	if req.Epoch, err = sourceDate(e); err != nil {
		return err
	}
	if req.Lock, err = e.pins(ctx, p, o.frozen); err != nil {
		return err
	}
	if o.print {
		return printBuild(e, p, req.Services)
	}
	c, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	var res api.BuildResult
	err = e.progress("build", func(emit func(api.Message)) (err error) {
		res, err = c.Build(ctx, req, withoutPull(emit, o.quiet))
		return err
	})
	for _, line := range res.Findings {
		fmt.Fprintln(e.stdout, line)
	}
	if o.quiet {
		for _, name := range slices.Sorted(maps.Keys(res.Images)) {
			fmt.Fprintln(e.stdout, res.Images[name].ID)
		}
	}
	if err == nil && req.Check && len(res.Findings) > 0 {
		return exitWith(exitGeneral)
	}
	return err
}

// buildArgs reads NAME=VALUE, or NAME for the environment's value.
func buildArgs(args []string, e *env) compose.Mapping {
	out := compose.Mapping{}
	for _, a := range args {
		name, value, ok := strings.Cut(a, "=")
		if !ok {
			if value, ok = e.lookup(name); !ok {
				out[name] = nil
				continue
			}
		}
		out[name] = &value
	}
	return out
}

// sshKeys reads ID[=PATH]; "default" without a path is the agent of the
// environment.
func sshKeys(args []string, e *env) ([]compose.SSHKey, error) {
	var out []compose.SSHKey
	for _, a := range args {
		id, path, ok := strings.Cut(a, "=")
		if !ok {
			if path = e.getenv("SSH_AUTH_SOCK"); path == "" {
				return nil, fmt.Errorf("--ssh %s: SSH_AUTH_SOCK is not set: start an agent, or give a key as %s=PATH", a, id)
			}
		}
		out = append(out, compose.SSHKey{ID: id, Path: path})
	}
	return out, nil
}

// sourceDate is SOURCE_DATE_EPOCH, in seconds.
func sourceDate(e *env) (*int64, error) {
	text := e.getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("SOURCE_DATE_EPOCH %q is not a number of seconds", text)
	}
	return &n, nil
}

// printBuild shows the build sections that would be carried out.
func printBuild(e *env, p *compose.Project, services []string) error {
	out := map[string]*compose.Build{}
	for name, s := range p.Services {
		if s.Build != nil && (len(services) == 0 || slices.Contains(services, name)) {
			out[name] = s.Build
		}
	}
	enc := json.NewEncoder(e.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}
