package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/api/client"
)

// upOptions are the flags of `up`.
type upOptions struct {
	createOptions
	detach, noStart, noDeps, wait bool
	abortOnExit, abortOnFailure   bool
	exitCodeFrom                  string
	noColor, noPrefix, timestamps bool
	attach, noAttach              []string
	attachDeps                    bool
	waitTimeout                   int
	menu, menuSet, watch          bool
}

// createOptions are the flags that `up`, `create` and `scale` share.
type createOptions struct {
	build, noBuild            bool
	pull                      string
	quietPull, quietBuild     bool
	removeOrphans             bool
	forceRecreate, noRecreate bool
	recreateDeps, renewAnon   bool
	scale                     []string
	timeout                   int
	yes, frozen, autoPorts    bool
}

func newUpCmd(e *env) *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:               "up [OPTIONS] [SERVICE...]",
		Short:             "Create and start containers",
		ValidArgsFunction: e.serviceNames,
		RunE: func(cmd *cobra.Command, services []string) error {
			if err := o.check(); err != nil {
				return err
			}
			o.menuSet = cmd.Flags().Changed("menu")
			return runUp(cmd.Context(), e, &o, cmd.Flags(), services)
		},
	}
	f := cmd.Flags()
	o.createOptions.add(f)
	f.BoolVarP(&o.detach, "detach", "d", false, "Detached mode: Run containers in the background")
	f.BoolVar(&o.noColor, "no-color", false, "Produce monochrome output")
	f.BoolVar(&o.noPrefix, "no-log-prefix", false, "Don't print prefix in logs")
	f.BoolVar(&o.noStart, "no-start", false, "Don't start the services after creating them")
	f.BoolVar(&o.abortOnExit, "abort-on-container-exit", false, "Stops all containers if any container was stopped. Incompatible with -d")
	f.BoolVar(&o.abortOnFailure, "abort-on-container-failure", false, "Stops all containers if any container exited with failure. Incompatible with -d")
	f.StringVar(&o.exitCodeFrom, "exit-code-from", "", "Return the exit code of the selected service container. Implies --abort-on-container-exit")
	f.BoolVar(&o.timestamps, "timestamps", false, "Show timestamps")
	f.BoolVar(&o.noDeps, "no-deps", false, "Don't start linked services")
	f.BoolVar(&o.recreateDeps, "always-recreate-deps", false, "Recreate dependent containers. Incompatible with --no-recreate.")
	f.BoolVarP(&o.renewAnon, "renew-anon-volumes", "V", false, "Recreate anonymous volumes instead of retrieving data from the previous containers")
	f.StringArrayVar(&o.attach, "attach", nil, "Restrict attaching to the specified services. Incompatible with --attach-dependencies.")
	f.StringArrayVar(&o.noAttach, "no-attach", nil, "Do not attach (stream logs) to the specified services")
	f.BoolVar(&o.attachDeps, "attach-dependencies", false, "Automatically attach to log output of dependent services")
	f.BoolVar(&o.wait, "wait", false, "Wait for services to be running|healthy. Implies detached mode.")
	f.IntVar(&o.waitTimeout, "wait-timeout", 0, "Maximum duration in seconds to wait for the project to be running|healthy")
	f.BoolVarP(&o.watch, "watch", "w", false, "Watch source code and rebuild/refresh containers when files are updated.")
	f.BoolVar(&o.menu, "menu", false, "Enable interactive shortcuts when running attached. Incompatible with --detach. Can also be enable/disable by setting COMPOSE_MENU environment var.")
	return cmd
}

// add declares the shared flags.
func (o *createOptions) add(f *pflag.FlagSet) {
	f.BoolVar(&o.build, "build", false, "Build images before starting containers")
	f.BoolVar(&o.noBuild, "no-build", false, "Don't build an image, even if it's policy")
	f.StringVar(&o.pull, "pull", "policy", `Pull image before running ("always"|"missing"|"never")`)
	f.BoolVar(&o.quietBuild, "quiet-build", false, "Suppress the build output")
	f.BoolVar(&o.quietPull, "quiet-pull", false, "Pull without printing progress information")
	f.BoolVar(&o.removeOrphans, "remove-orphans", false, "Remove containers for services not defined in the Compose file")
	f.BoolVar(&o.forceRecreate, "force-recreate", false, "Recreate containers even if their configuration and image haven't changed")
	f.BoolVar(&o.noRecreate, "no-recreate", false, "If containers already exist, don't recreate them. Incompatible with --force-recreate.")
	f.StringArrayVar(&o.scale, "scale", nil, "Scale SERVICE to NUM instances. Overrides the `scale` setting in the Compose file if present.")
	addFrozen(f, &o.frozen)
	addAutoPorts(f, &o.autoPorts)
	f.IntVarP(&o.timeout, "timeout", "t", 0, "Use this timeout in seconds for container shutdown when attached or when containers are already running")
	f.BoolVarP(&o.yes, "yes", "y", false, `Assume "yes" as answer to all prompts and run non-interactively`)
}

// check refuses flags that exclude each other, in Compose's words.
func (o *upOptions) check() error {
	if o.exitCodeFrom != "" && !o.abortOnFailure {
		o.abortOnExit = true
	}
	if o.abortOnExit && o.abortOnFailure {
		return errors.New("--abort-on-container-failure cannot be combined with --abort-on-container-exit")
	}
	if o.wait {
		if o.attachDeps || o.abortOnExit || len(o.attach) > 0 {
			return errors.New("--wait cannot be combined with --abort-on-container-exit, --attach or --attach-dependencies")
		}
		o.detach = true
	}
	if o.detach && (o.attachDeps || o.abortOnExit || o.abortOnFailure || len(o.attach) > 0) {
		return errors.New("--detach cannot be combined with --abort-on-container-exit, --abort-on-container-failure, --attach or --attach-dependencies")
	}
	if len(o.attach) > 0 && o.attachDeps {
		return errors.New("cannot combine --attach and --attach-dependencies")
	}
	if o.watch && o.noStart {
		return errors.New("--watch cannot be combined with --no-start")
	}
	return o.createOptions.check()
}

func (o *createOptions) check() error {
	switch {
	case o.build && o.noBuild:
		return errors.New("--build and --no-build are incompatible")
	case o.renewAnon && o.noRecreate:
		return errors.New("--no-recreate and --renew-anon-volumes are incompatible")
	case o.forceRecreate && o.noRecreate:
		return errors.New("--force-recreate and --no-recreate are incompatible")
	case o.recreateDeps && o.noRecreate:
		return errors.New("--always-recreate-deps and --no-recreate are incompatible")
	}
	return checkPull(o.pull)
}

func checkPull(policy string) error {
	if !slices.Contains([]string{"", "policy", "always", "missing", "never", "build", "if_not_present"}, policy) {
		return fmt.Errorf(`invalid --pull option %q: want "always", "missing" or "never"`, policy)
	}
	return nil
}

// request fills what the shared flags say.
func (o *createOptions) request(ctx context.Context, e *env, p *compose.Project, f *pflag.FlagSet, services []string) (api.UpRequest, error) {
	orphans, err := e.orphans(p, f, o.removeOrphans)
	if err != nil {
		return api.UpRequest{}, err
	}
	parallel, err := e.parallel(p)
	if err != nil {
		return api.UpRequest{}, err
	}
	scale, err := parseScale(p, o.scale)
	if err != nil {
		return api.UpRequest{}, err
	}
	e.autoPorts(p, o.autoPorts)
	if err := e.keepName(p.Name); err != nil {
		return api.UpRequest{}, err
	}
	pins, err := e.pins(ctx, p, o.frozen)
	if err != nil {
		return api.UpRequest{}, err
	}
	e.labelRevisions(ctx, p)
	return api.UpRequest{
		Lock:               pins,
		Credentials:        e.credentials(),
		Project:            p,
		Meta:               e.meta(p),
		Services:           services,
		ForceRecreate:      o.forceRecreate,
		NoRecreate:         o.noRecreate,
		AlwaysRecreateDeps: o.recreateDeps,
		RenewAnonVolumes:   o.renewAnon,
		Build:              o.build,
		NoBuild:            o.noBuild,
		RemoveOrphans:      orphans.remove,
		IgnoreOrphans:      orphans.ignore,
		Separator:          e.separator(p),
		Parallel:           parallel,
		Scale:              scale,
		Pull:               o.pull,
		Timeout:            stopTimeout(f, o.timeout),
		DryRun:             e.flags.dryRun,
	}, nil
}

// stopTimeout is the value of -t, nil where it was not given.
func stopTimeout(f *pflag.FlagSet, seconds int) *compose.Duration {
	if !f.Changed("timeout") {
		return nil
	}
	d := compose.Duration(time.Duration(seconds) * time.Second)
	return &d
}

// parseScale reads SERVICE=NUM pairs.
func parseScale(p *compose.Project, pairs []string) (map[string]int, error) {
	scale := make(map[string]int, len(pairs))
	for _, pair := range pairs {
		name, num, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("invalid --scale option %q. Should be SERVICE=NUM", pair)
		}
		n, err := strconv.Atoi(num)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("invalid --scale option %q: %q is not a number of instances", pair, num)
		}
		if n > compose.MaxReplicas {
			return nil, fmt.Errorf("invalid --scale option %q: at most %d instances can run on one machine", pair, compose.MaxReplicas)
		}
		if _, ok := p.Services[name]; !ok {
			return nil, noSuchService(p, name)
		}
		scale[name] = n
	}
	return scale, nil
}

func runUp(ctx context.Context, e *env, o *upOptions, f *pflag.FlagSet, services []string) error {
	p, err := e.load(ctx, services...)
	if err != nil {
		return err
	}
	if len(p.Services) == 0 {
		return errNoServices
	}
	if o.exitCodeFrom != "" {
		if _, ok := p.Services[o.exitCodeFrom]; !ok {
			return noSuchService(p, o.exitCodeFrom)
		}
	}
	services, done, err := e.outside(ctx, p, services)
	if err != nil || done {
		return err
	}
	attach, err := o.attached(p, services)
	if err != nil {
		return err
	}
	req, err := o.request(ctx, e, p, f, services)
	if err != nil {
		return err
	}
	req.NoDeps, req.NoStart, req.Wait = o.noDeps, o.noStart, o.wait
	req.WaitTimeout = compose.Duration(time.Duration(o.waitTimeout) * time.Second)
	c, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if !o.detach && !o.noStart && !e.flags.dryRun {
		return upAttached(ctx, e, c, req, o, attach)
	}
	if err := upDetached(ctx, e, c, req, "up", &o.createOptions); err != nil || !o.watch || e.flags.dryRun {
		return err
	}
	watch, err := watchRequest(e, p, services)
	if err != nil {
		return err
	}
	watch.Detach, watch.Scale, watch.Prune, watch.Lock = true, req.Scale, true, req.Lock
	res, err := c.Watch(ctx, watch, nil)
	if err == nil && e.flags.progress != "quiet" {
		fmt.Fprintf(e.stderr, "Watching %d rules in the background; `devstack watch` shows what happens, `devstack watch --stop` ends it\n", res.Rules)
	}
	return err
}

// upDetached carries out req; with --dry-run it prints the plan instead.
func upDetached(ctx context.Context, e *env, c *client.Client, req api.UpRequest, title string, o *createOptions) error {
	var result api.UpResult
	err := e.progress(title, func(emit func(api.Message)) (err error) {
		result, err = c.Up(ctx, req, quietly(emit, o.quietPull, o.quietBuild))
		return err
	})
	if err == nil && req.DryRun {
		_, err = io.WriteString(e.stdout, result.Plan)
	}
	return err
}

// quietly drops the progress of pulls, of builds or of both: --quiet-pull and
// --quiet-build.
func quietly(emit func(api.Message), pulls, builds bool) func(api.Message) {
	if !pulls && !builds {
		return emit
	}
	built := map[string]bool{} // images that are built from here on
	return func(m api.Message) {
		if m.Notice != nil && builds && built[m.Notice.Of] {
			return
		}
		p := m.Progress
		if p == nil || p.State == api.Failed {
			emit(m)
			return
		}
		image := p.ID
		if p.Parent != "" {
			image = p.Parent
		}
		if p.Text == api.Building {
			built[image] = true
		}
		quiet := pulls
		if built[image] {
			quiet = builds
		}
		if !quiet || p.Parent == "" && !strings.HasPrefix(p.ID, "Image ") {
			emit(m)
		}
	}
}

// attached are the services whose logs a foreground `up` shows.
func (o *upOptions) attached(p *compose.Project, services []string) ([]string, error) {
	names := o.attach
	if len(names) == 0 {
		names = services
		if len(names) == 0 {
			names = p.ServiceNames()
		} else if o.attachDeps {
			names = p.Closure(names)
		}
		names = slices.DeleteFunc(slices.Clone(names), func(n string) bool {
			s, ok := p.Services[n]
			return !ok || s.Attach != nil && !*s.Attach
		})
	}
	for _, n := range slices.Concat(o.attach, o.noAttach) {
		if _, ok := p.Services[n]; !ok {
			return nil, fmt.Errorf("cannot attach to services not included in up: %s", n)
		}
	}
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(o.noAttach, n) }), nil
}
