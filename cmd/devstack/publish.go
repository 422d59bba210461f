package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"devstack/cmd/devstack/remote"
	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/image"
)

type publishOptions struct {
	resolveDigests, withEnv, yes, app bool
	ociVersion                        string
}

func newPublishCmd(e *env) *cobra.Command {
	var o publishOptions
	cmd := &cobra.Command{
		Use:   "publish [OPTIONS] REPOSITORY[:TAG]",
		Short: "Publish compose application",
		Long:  "Publish the project files as an OCI artifact, which `-f oci://REPOSITORY[:TAG]` uses",
		Args:  exactArgs(1, "REPOSITORY[:TAG]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPublish(cmd.Context(), e, o, args[0])
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.BoolVar(&o.resolveDigests, "resolve-image-digests", false, "Pin image tags to digests")
	f.StringVar(&o.ociVersion, "oci-version", "", `OCI image/artifact specification version ("1.0"|"1.1", automatically determined by default)`)
	f.BoolVar(&o.withEnv, "with-env", false, "Include environment variables in the published OCI artifact")
	f.BoolVar(&o.app, "app", false, "Published compose application (includes referenced images)")
	f.BoolVarP(&o.yes, "yes", "y", false, `Assume "yes" as answer to all prompts`)
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "y" { // as Compose once spelled it
			name = "yes"
		}
		return pflag.NormalizedName(name)
	})
	return cmd
}

func runPublish(ctx context.Context, e *env, o publishOptions, repository string) error {
	ref, err := remote.ParseReference(repository)
	if err != nil {
		return err
	}
	if ref.Digest != "" {
		return fmt.Errorf("publish to %s: a digest comes from what is published and cannot be chosen", repository)
	}
	if !slices.Contains([]string{"", "1.0", "1.1"}, o.ociVersion) {
		return fmt.Errorf("unsupported OCI version: %s (1.0 or 1.1)", o.ociVersion)
	}
	load := e.loadOptions(ctx)
	load.Profiles = []string{"*"}
	p, err := e.loadAs(ctx, load, nil)
	if err != nil {
		return err
	}
	if err := onlyBuilt(p); err != nil {
		return err
	}
	bundle, err := remote.Collect(p, load.Remote.Takes, e.near)
	if err != nil {
		return err
	}
	if !o.yes {
		if err := e.confirmPublish(p, bundle, o.withEnv); err != nil {
			return err
		}
	}
	return e.progress("publish", func(emit func(api.Message)) error {
		return o.publish(ctx, e, p, bundle, ref, emit)
	})
}

// onlyBuilt refuses services whose image nobody else can get.
func onlyBuilt(p *compose.Project) error {
	var errs []error
	for _, name := range p.ServiceNames() {
		if s := p.Services[name]; s.Image == "" && s.Build != nil {
			errs = append(errs, fmt.Errorf("%s: service %q only has a build section: others cannot build it\nhint: give it an image: that can be pushed", p.Pos("services", name, "build"), name))
		}
	}
	return errors.Join(errs...)
}

// confirmPublish asks about what may not be meant for everybody.
func (e *env) confirmPublish(p *compose.Project, b *remote.Bundle, withEnv bool) error {
	var binds []string
	for _, name := range p.ServiceNames() {
		for i, v := range p.Services[name].Volumes {
			if v.Type == "bind" {
				binds = append(binds, fmt.Sprintf("%s: service %q: bind mount of %s", p.Pos("services", name, "volumes", fmt.Sprint(i)), name, v.Source))
			}
		}
	}
	slices.SortStableFunc(b.Doubts, func(x, y remote.Doubt) int {
		return cmp.Or(cmp.Compare(x.Pos.File, y.Pos.File), cmp.Compare(x.Pos.Line, y.Pos.Line), cmp.Compare(x.Text, y.Text))
	})
	var env, private []string
	for _, d := range slices.Compact(b.Doubts) { // a file may be read twice, an anchor used
		switch {
		case !d.Env:
			private = append(private, d.String())
		case !withEnv:
			env = append(env, d.String())
		}
	}
	for _, q := range []struct {
		found          []string
		about, explain string
	}{
		{binds, "bind mount declarations", "Only the declarations are published, not what is in the directories."},
		{private, "possibly sensitive data", "It is published as it stands in the files."},
		{env, "environment declarations", "Values that stand in the files are published as they are. --with-env silences this."},
	} {
		if len(q.found) == 0 {
			continue
		}
		fmt.Fprintf(e.stderr, "You are about to publish %s:\n  %s\n%s\n", q.about, strings.Join(q.found, "\n  "), q.explain)
		if !e.confirm("Publish these " + q.about) {
			return &exitError{code: exitInterrupted, err: errors.New("publish: canceled\nhint: --yes answers all questions with yes")}
		}
	}
	return nil
}

func (o *publishOptions) publish(ctx context.Context, e *env, p *compose.Project, b *remote.Bundle, ref image.Reference, emit func(api.Message)) error {
	say := func(id, state, text string) {
		emit(api.Message{Progress: &api.Progress{ID: id, State: state, Text: text}})
	}
	if err := o.pushBuilt(ctx, e, p, emit); err != nil {
		return err
	}
	files := b.Files
	if o.withEnv {
		files = append(files, b.EnvFiles...)
	}
	if o.resolveDigests || o.app {
		if err := e.pinDigests(ctx, p); err != nil {
			return err
		}
		var override bytes.Buffer
		if err := (&configOptions{}).imagesOnly(&override, p); err != nil {
			return err
		}
		files = append(files, remote.File{Name: "image-digests.yaml", Content: override.Bytes()})
	}
	pub := remote.Publication{
		Ref: ref, Files: files, OCI: remote.OCIVersion(o.ociVersion), Version: version, Now: e.now(), Environ: e.credentials().Environ,
		Copying: func(img image.Reference) { say("Image "+img.Familiar(), api.Working, "Copying") },
	}
	if o.app {
		var err error
		if pub.Images, err = imagesOf(p); err != nil {
			return err
		}
	}
	name := ref.Familiar()
	say(name, api.Working, "Publishing")
	if e.flags.dryRun {
		say(name, api.Done, "Published")
		return nil
	}
	out, err := remote.Publish(ctx, pub)
	if err != nil {
		return fmt.Errorf("publish %s: %w", name, err)
	}
	for _, img := range pub.Images {
		say("Image "+img.Familiar(), api.Done, "Copied")
	}
	text := "Published"
	if out.Fallback {
		text = "Published (the registry refuses OCI 1.1: in the form of 1.0)"
	}
	emit(api.Message{Progress: &api.Progress{ID: name, State: api.Done, Text: text, Detail: out.Digest.String()}})
	return nil
}

// pushBuilt pushes what the project builds itself, as far as that works.
func (o *publishOptions) pushBuilt(ctx context.Context, e *env, p *compose.Project, emit func(api.Message)) error {
	built := func(s compose.Service) bool { return s.Build != nil }
	if e.flags.dryRun || !slices.ContainsFunc(slices.Collect(maps.Values(p.Services)), built) {
		return nil
	}
	c, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Push(ctx, api.PushRequest{Project: p, IgnoreFailures: true, Credentials: e.credentials()}, emit)
	return err
}

// imagesOf are the images of all services, each once.
func imagesOf(p *compose.Project) (out []image.Reference, err error) {
	seen := map[string]bool{}
	for _, name := range p.ServiceNames() {
		s := p.Services[name]
		if s.Image == "" || seen[s.Image] {
			continue
		}
		seen[s.Image] = true
		ref, err := image.ParseReference(s.Image)
		if err != nil {
			return nil, err
		}
		if ref.Transport != image.Docker {
			return nil, fmt.Errorf("%s: image %s is in no registry and cannot be part of an application", p.Pos("services", name, "image"), s.Image)
		}
		out = append(out, ref)
	}
	return out, nil
}
