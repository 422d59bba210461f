package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"devstack/cmd/devstack/render"
	"devstack/compose"
	"devstack/engine/api"
)

// buildOptions are the flags of build that are not part of the request.
type buildOptions struct {
	args, ssh        []string
	memory, progress string
	builder          string
	provenance, sbom string
	quiet, print     bool
	frozen           bool
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
			if err := o.check(e, cmd.Flags()); err != nil {
				return err
			}
			req.Services = services
			return runBuild(cmd.Context(), e, req, o)
		},
		ValidArgsFunction: e.serviceNames,
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.args, "build-arg", nil, "Set build-time variables for services")
	f.StringVar(&o.builder, "builder", "", "Set builder to use (accepted: there is only one)")
	f.BoolVar(&req.Check, "check", false, "Check build configuration")
	addFrozen(f, &o.frozen)
	f.StringVarP(&o.memory, "memory", "m", "", "Set memory limit for each RUN of the build")
	f.BoolVar(&req.NoCache, "no-cache", false, "Do not use cache when building the image")
	f.BoolVar(&o.print, "print", false, "Print equivalent bake file")
	f.StringVar(&o.progress, "progress", e.flags.progress, "Set type of ui output (auto, tty, plain, json, rawjson, quiet)")
	f.StringVar(&o.provenance, "provenance", "", "Add a provenance attestation (accepted: none is made)")
	f.BoolVar(&req.Pull, "pull", false, "Always attempt to pull a newer version of the image")
	f.BoolVar(&req.Push, "push", false, "Push service images")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Suppress the build output")
	f.StringVar(&o.sbom, "sbom", "", "Add a SBOM attestation (accepted: none is made)")
	f.StringArrayVar(&o.ssh, "ssh", nil, "Set SSH authentications used when building service images. (use 'default' for using your default SSH Agent)")
	f.BoolVar(&req.WithDeps, "with-dependencies", false, "Also build dependencies (transitively)")
	for _, old := range withoutEffect() {
		f.Bool(old, true, "DEPRECATED")
		_ = f.MarkHidden(old) // the flag was just made
	}
	return cmd
}

// withoutEffect are flags that Compose still takes and that mean nothing.
func withoutEffect() []string { return []string{"compress", "force-rm", "no-rm", "parallel"} }

// check refuses values that are not known, and says which flags do nothing.
func (o *buildOptions) check(e *env, f *pflag.FlagSet) error {
	if f.Changed("progress") {
		e.flags.progress = o.progress
		if o.progress == "rawjson" {
			e.flags.progress = render.ModeJSON
		}
		if err := e.flags.check(); err != nil {
			return err
		}
	}
	say := func(format string, args ...any) {
		if e.flags.progress != render.ModeQuiet && e.flags.progress != render.ModeJSON {
			fmt.Fprintf(e.stderr, "warning: "+format+"\n", args...)
		}
	}
	if o.builder != "" {
		say("--builder %s has no effect: the engine builds", o.builder)
	}
	for name, value := range map[string]string{"provenance": o.provenance, "sbom": o.sbom} {
		if on, err := strconv.ParseBool(value); value != "" && (err != nil || on) {
			say("--%s has no effect: no attestations are made; labels and annotations say which source an image is from", name)
		}
	}
	for _, old := range withoutEffect() {
		if f.Changed(old) {
			say("--%s has no effect", old)
		}
	}
	return nil
}

func runBuild(ctx context.Context, e *env, req api.BuildRequest, o buildOptions) error {
	p, err := e.load(ctx, req.Services...)
	if err != nil {
		return err
	}
	if e.flags.dryRun {
		return e.rehearseImages(p, "build", req.Services, func(s compose.Service) bool { return s.Build != nil }, "Building", "Built")
	}
	e.labelRevisions(ctx, p)
	req.Project, req.Credentials, req.WorkingDir = p, e.credentials(), p.WorkingDir
	if o.memory != "" {
		if req.Memory, err = compose.ParseBytes(o.memory); err != nil || req.Memory < 0 {
			return fmt.Errorf("invalid --memory option %q: want a size such as 512m", o.memory)
		}
	}
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
		return printBake(e, &req)
	}
	if readsStdin(&req) {
		end, err := e.keepStdin(ctx, &req.Stdin)
		if err != nil {
			return fmt.Errorf("read build context from standard input: %w", err)
		}
		defer end()
	}
	c, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	var res api.BuildResult
	err = e.progress("build", func(emit func(api.Message)) (err error) {
		res, err = c.Build(ctx, req, quietly(emit, o.quiet, o.quiet))
		return err
	})
	printChecked(e.stdout, res.Findings)
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

// printChecked prints what --check found, each with its place in the file.
func printChecked(w io.Writer, found []api.Finding) {
	for i, f := range found {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, render.Clean(f.Text))
		for _, line := range f.Excerpt[min(1, len(f.Excerpt)):] { // the first repeats the place
			fmt.Fprintln(w, "  "+render.Clean(line))
		}
	}
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
