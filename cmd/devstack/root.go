package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// verb is a command and how to make it. Building cobra commands with their
// flags is not free, so only the one that is asked for is built.
type verb struct {
	name  string
	build func(*env) *cobra.Command
}

// command makes the command.
func (v verb) command(e *env) *cobra.Command {
	cmd := v.build(e)
	for _, c := range append(cmd.Commands(), cmd) {
		c.DisableFlagsInUseLine = true // the usage says [OPTIONS] where there are any
	}
	return cmd
}

func verbs() []verb {
	return []verb{
		{"attach", newAttachCmd},
		{"build", newBuildCmd},
		{"commit", newCommitCmd},
		{"config", newConfigCmd},
		{"cp", newCpCmd},
		{"create", newCreateCmd},
		{"doctor", newDoctorCmd},
		{"down", newDownCmd},
		{"du", newDuCmd},
		{"engine", newEngineCmd},
		{"events", newEventsCmd},
		{"exec", newExecCmd},
		{"export", newExportCmd},
		{"graph", newGraphCmd},
		{"history", newHistoryCmd},
		{"image", newImageCmd},
		{"images", newImagesCmd},
		{"init", newInitCmd},
		{"kill", newKillCmd},
		{"load", newLoadCmd},
		{"lock", newLockCmd},
		{"login", newLoginCmd},
		{"logout", newLogoutCmd},
		{"logs", newLogsCmd},
		{"ls", newLsCmd},
		{"man", newManCmd},
		{"pause", newPauseCmd},
		{"port", newPortCmd},
		{"prune", newPruneCmd},
		{"ps", newPsCmd},
		{"publish", newPublishCmd},
		{"pull", newPullCmd},
		{"push", newPushCmd},
		{"restart", newRestartCmd},
		{"rm", newRmCmd},
		{"run", newRunCmd},
		{"save", newSaveCmd},
		{"scale", newScaleCmd},
		{"schema", newSchemaCmd},
		{"start", newStartCmd},
		{"stats", newStatsCmd},
		{"stop", newStopCmd},
		{"tag", newTagCmd},
		{"top", newTopCmd},
		{"unpause", newUnpauseCmd},
		{"up", newUpCmd},
		{"version", newVersionCmd},
		{"volumes", newVolumesCmd},
		{"wait", newWaitCmd},
		{"watch", newWatchCmd},
	}
}

// run is the program: it carries out e.args and gives the exit code.
func run(e *env) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	e.signals = watchSignals(cancel)
	defer e.signals.close()
	root := newRootCmd(e)
	root.SetArgs(e.args)
	return e.report(ctx, root.ExecuteContext(ctx))
}

func newRootCmd(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:   "devstack",
		Short: "Define and run multi-container applications",
		Long:  "Run the services of a compose.yaml: no daemon, no Docker, one binary",
		// Without a Run cobra would answer a mistyped verb with help and 0.
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case e.flags.version:
				return printVersion(e, "", false)
			case len(args) == 0:
				return cmd.Help()
			}
			return unknownVerb(args[0])
		},
		Args:             cobra.ArbitraryArgs,
		TraverseChildren: true,
		SilenceErrors:    true,
		SilenceUsage:     true,
	}
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		format := cmd.Flags().Lookup("format")
		e.flags.jsonOutput = format != nil && format.Value.String() == "json"
		return e.adopt(nil)
	}
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w\n\nRun '%s --help' for more information", err, cmd.CommandPath())
	})
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { printHelp(e, cmd) })
	flags := root.Flags()
	flags.SetInterspersed(false)
	addGlobalFlags(flags, e)
	e.flags.given = flags.Changed
	root.PersistentFlags().BoolVar(&e.flags.dryRun, "dry-run", false, "Execute command in dry run mode")

	all := verbs()
	if i := slices.IndexFunc(all, func(v verb) bool { return v.name == verbOf(flags, e.args) }); i >= 0 {
		root.CompletionOptions.DisableDefaultCmd = true
		root.AddCommand(all[i].command(e))
		return root
	}
	for _, v := range all {
		root.AddCommand(v.command(e))
	}
	switch verbOf(flags, e.args) {
	case cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd:
		addCompletions(e, root)
	}
	return root
}

// addGlobalFlags are Compose's; adopt and package load know their variables.
func addGlobalFlags(f *pflag.FlagSet, e *env) {
	g := &e.flags
	f.StringArrayVarP(&g.files, "file", "f", nil, "Compose configuration files")
	f.StringVarP(&g.name, "project-name", "p", "", "Project name")
	f.StringVar(&g.directory, "project-directory", "", "Specify an alternate working directory\n(default: the path of the, first specified, Compose file)")
	f.StringVar(&g.directory, "workdir", "", "")
	_ = f.MarkHidden("workdir") // the flag was just made
	f.StringArrayVar(&g.envFiles, "env-file", nil, "Specify an alternate environment file")
	f.StringArrayVar(&g.profiles, "profile", nil, "Specify a profile to enable")
	f.BoolVar(&g.all, "all-resources", false, "Include all resources, even those not used by services")
	f.BoolVar(&g.compat, "compatibility", false, "Run compose in backward compatibility mode")
	f.IntVar(&g.parallel, "parallel", 0, "Control max parallelism, -1 for unlimited")
	f.StringVar(&g.ansi, "ansi", "auto", `Control when to print ANSI control characters ("never"|"always"|"auto")`)
	f.StringVar(&g.progress, "progress", "auto", "Set type of progress output (auto, tty, plain, json, quiet)")
	f.BoolVar(&g.noANSI, "no-ansi", false, "")
	f.Bool("verbose", false, "") // Compose's own log; the engine has one
	for _, name := range []string{"no-ansi", "verbose"} {
		_ = f.MarkHidden(name) // they were just made
	}
	f.BoolVarP(&g.version, "version", "v", false, "Show the devstack version information")
}

// verbOf finds the first argument that is neither a global flag nor a flag's
// value.
func verbOf(flags *pflag.FlagSet, args []string) string {
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" || !strings.HasPrefix(a, "-") {
			return a
		}
		var f *pflag.Flag
		if name, long := strings.CutPrefix(a, "--"); long {
			f = flags.Lookup(name) // "--name=value" finds nothing, and takes no more
		} else if len(a) == 2 {
			f = flags.ShorthandLookup(a[1:])
		}
		if f != nil && f.NoOptDefVal == "" {
			i++
		}
	}
	return ""
}

func unknownVerb(name string) error {
	names := make([]string, 0, 32)
	for _, v := range verbs() {
		names = append(names, v.name)
	}
	err := fmt.Errorf("unknown command %q", name)
	if near := nearest(name, names); near != "" {
		return fmt.Errorf("%w\nhint: did you mean %q?", err, near)
	}
	return fmt.Errorf("%w\n\nRun 'devstack --help' for the list of commands", err)
}
