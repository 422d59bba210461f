package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"devstack/compose"
	"devstack/compose/load"
	"devstack/engine/plan"
)

type configOptions struct {
	format, output, hash                string
	quiet                               bool
	services, volumes, networks, images bool
	profiles, environment, models       bool
	variables                           bool

	noInterpolate, noNormalize, noPathResolution bool
	noConsistency, noEnvResolution               bool
	resolveDigests, lockDigests                  bool

	explain string
}

func newConfigCmd(e *env) *cobra.Command {
	var o configOptions
	cmd := &cobra.Command{
		Use:     "config [OPTIONS] [SERVICE...]",
		Aliases: []string{"convert"},
		Short:   "Parse, resolve and render compose file in canonical format",
		RunE: func(cmd *cobra.Command, services []string) error {
			if o.variables && !cmd.Flags().Changed("format") {
				o.format = "table"
			}
			return runConfig(cmd.Context(), e, &o, services)
		},
		ValidArgsFunction: e.serviceNames,
	}
	f := cmd.Flags()
	f.StringVar(&o.format, "format", "yaml", "Format the output. Values: [yaml | json]")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Only validate the configuration, don't print anything")
	f.BoolVar(&o.services, "services", false, "Print the service names, one per line.")
	f.BoolVar(&o.volumes, "volumes", false, "Print the volume names, one per line.")
	f.BoolVar(&o.networks, "networks", false, "Print the network names, one per line.")
	f.BoolVar(&o.profiles, "profiles", false, "Print the profile names, one per line.")
	f.BoolVar(&o.images, "images", false, "Print the image names, one per line.")
	f.BoolVar(&o.environment, "environment", false, "Print environment used for interpolation.")
	f.StringVar(&o.hash, "hash", "", "Print the service config hash, one per line.")
	f.BoolVar(&o.models, "models", false, "Print the model names, one per line.")
	f.BoolVar(&o.variables, "variables", false, "Print model variables and default values.")
	f.BoolVar(&o.noInterpolate, "no-interpolate", false, "Don't interpolate environment variables")
	f.BoolVar(&o.noNormalize, "no-normalize", false, "Don't normalize compose model")
	f.BoolVar(&o.noPathResolution, "no-path-resolution", false, "Don't resolve file paths")
	f.BoolVar(&o.noConsistency, "no-consistency", false, "Don't check model consistency - warning: may produce invalid Compose output")
	f.BoolVar(&o.noEnvResolution, "no-env-resolution", false, "Don't resolve service env files")
	f.BoolVar(&o.resolveDigests, "resolve-image-digests", false, "Pin image tags to digests")
	f.BoolVar(&o.lockDigests, "lock-image-digests", false, "Produces an override file with image digests")
	f.StringVar(&o.explain, "explain", "", "Print every place that sets a value (as services.web.image) or a variable, which one won and why")
	f.StringVarP(&o.output, "output", "o", "", "Save to file (default to stdout)")
	return cmd
}

func runConfig(ctx context.Context, e *env, o *configOptions, services []string) error {
	opts := o.load(ctx, e)
	switch {
	case o.explain != "":
		return e.printExplanation(ctx, o, o.explain)
	case o.variables:
		return o.printVariables(ctx, e, opts)
	case o.noInterpolate && !o.partial():
		return o.printModel(ctx, e, opts, services)
	}
	p, err := e.loadAs(ctx, opts, services)
	if err != nil {
		return err
	}
	if len(services) > 0 {
		keep := p.Closure(services)
		maps.DeleteFunc(p.Services, func(name string, _ compose.Service) bool { return !slices.Contains(keep, name) })
	}
	if !e.flags.all {
		dropUnused(p)
	}
	if o.resolveDigests || o.lockDigests {
		if err := e.pinDigests(ctx, p); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	if err := o.write(&b, p); err != nil {
		return err
	}
	return o.emit(e, b.Bytes())
}

// emit prints what was asked for, or saves it.
func (o *configOptions) emit(e *env, text []byte) error {
	switch {
	case o.quiet:
		return nil
	case o.output != "":
		return os.WriteFile(e.path(o.output), text, 0o666)
	}
	_, err := e.stdout.Write(text)
	return err
}

// write prints the part of p that the flags ask for.
func (o *configOptions) write(w io.Writer, p *compose.Project) error {
	switch {
	case o.services:
		lines(w, p.ServiceNames())
	case o.volumes:
		lines(w, slices.Sorted(maps.Keys(p.Volumes)))
	case o.networks:
		lines(w, slices.Sorted(maps.Keys(p.Networks)))
	case o.models:
		lines(w, slices.Sorted(maps.Keys(p.Models)))
	case o.hash != "":
		return o.hashes(w, p)
	case o.profiles:
		lines(w, profilesOf(p))
	case o.images:
		for _, name := range p.ServiceNames() {
			s := p.Services[name]
			fmt.Fprintln(w, compose.ImageName(p.Name, name, &s))
		}
	case o.environment:
		for _, k := range slices.Sorted(maps.Keys(p.Environment)) {
			fmt.Fprintf(w, "%s=%s\n", k, p.Environment[k])
		}
	case o.lockDigests:
		return o.imagesOnly(w, p)
	default:
		return o.model(w, p)
	}
	return nil
}

// dropUnused leaves out the top-level objects that no service uses.
func dropUnused(p *compose.Project) {
	used := make(map[string]bool)
	for _, s := range p.Services {
		for name := range s.Networks {
			used["network "+name] = true
		}
		for _, m := range s.Volumes {
			if m.Type == compose.MountVolume {
				used["volume "+m.Source] = true
			}
		}
		for _, c := range s.Configs {
			used["config "+c.Source] = true
		}
		secrets := s.Secrets
		if s.Build != nil {
			secrets = slices.Concat(secrets, s.Build.Secrets)
		}
		for _, c := range secrets {
			used["secret "+c.Source] = true
		}
	}
	keepUsed(p.Networks, "network ", used)
	keepUsed(p.Volumes, "volume ", used)
	keepUsed(p.Configs, "config ", used)
	keepUsed(p.Secrets, "secret ", used)
}

func keepUsed[V any](objects map[string]V, kind string, used map[string]bool) {
	maps.DeleteFunc(objects, func(name string, _ V) bool { return !used[kind+name] })
}

func (o *configOptions) model(w io.Writer, p *compose.Project) (err error) {
	for name, s := range p.Services {
		if !o.noEnvResolution {
			s.EnvFile = nil // their variables are in environment
		}
		p.Services[name] = s
	}
	var b []byte
	switch o.format {
	case "json":
		b, err = load.MarshalJSON(p)
	case "yaml":
		b, err = load.MarshalYAML(p)
	default:
		return fmt.Errorf("unsupported format %q", o.format)
	}
	if err != nil {
		return err
	}
	// What is printed may be read as a project file again: $ stands for itself.
	_, err = w.Write(closed(bytes.ReplaceAll(b, []byte("$"), []byte("$$"))))
	return err
}

// closed ends a text with a newline.
func closed(b []byte) []byte {
	if !bytes.HasSuffix(b, []byte("\n")) {
		b = append(b, '\n')
	}
	return b
}

func (o *configOptions) hashes(w io.Writer, p *compose.Project) error {
	names := p.ServiceNames()
	if o.hash != "*" {
		names = strings.Split(o.hash, ",")
		slices.Sort(names)
	}
	for _, n := range names {
		s, ok := p.Services[n]
		if !ok {
			return noSuchService(p, n)
		}
		fmt.Fprintf(w, "%s %s\n", n, plan.ServiceHash(s))
	}
	return nil
}

func profilesOf(p *compose.Project) []string {
	set := make(map[string]bool)
	for _, services := range []map[string]compose.Service{p.Services, p.Disabled} {
		for _, s := range services {
			for _, name := range s.Profiles {
				set[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func lines(w io.Writer, ls []string) {
	for _, l := range ls {
		fmt.Fprintln(w, l)
	}
}
