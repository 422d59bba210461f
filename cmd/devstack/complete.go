package main

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"devstack/compose/load"
)

// addCompletions says what may stand after flags. Only a shell that completes
// needs it.
func addCompletions(e *env, root *cobra.Command) {
	register := func(cmd *cobra.Command, flag string, fn cobra.CompletionFunc) {
		if cmd.Flags().Lookup(flag) != nil || cmd.PersistentFlags().Lookup(flag) != nil {
			_ = cmd.RegisterFlagCompletionFunc(flag, fn) // fails for a flag that is not there, or has one
		}
	}
	register(root, "profile", e.profileNames)
	register(root, "project-name", e.projectNames)
	register(root, "file", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
	})
	register(root, "project-directory", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveFilterDirs
	})
	each(root, func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if values := valuesOf(f); len(values) > 0 {
				register(cmd, f.Name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
			}
		})
		for _, flag := range []string{"exit-code-from", "attach", "no-attach", "scale", "hash"} {
			register(cmd, flag, func(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
				names, directive := e.serviceNames(cmd, nil, word)
				if flag == "scale" {
					for i, n := range names {
						names[i] = n + "="
					}
					directive |= cobra.ShellCompDirectiveNoSpace
				}
				return names, directive
			})
		}
	})
}

func each(cmd *cobra.Command, fn func(*cobra.Command)) {
	fn(cmd)
	for _, c := range cmd.Commands() {
		each(c, fn)
	}
}

// valuesOf are the values that a flag's description lists: `Values: [a | b]`,
// `("a"|"b")`, or `(a, b)` after a colon of words.
func valuesOf(f *pflag.Flag) []string {
	usage := f.Usage
	switch {
	case usage == formatHelp:
		return []string{"table", "json"}
	case f.Name == "progress":
		return []string{"auto", "tty", "plain", "json", "quiet"}
	case f.Name == "policy":
		return []string{"missing", "always"}
	}
	var list string
	if _, rest, ok := strings.Cut(usage, "Values: ["); ok {
		list, _, _ = strings.Cut(rest, "]")
	} else if _, rest, ok := strings.Cut(usage, `("`); ok {
		list, _, _ = strings.Cut(rest, ")")
	}
	var values []string
	for word := range strings.SplitSeq(list, "|") {
		if word = strings.Trim(word, " \""); word != "" && !strings.ContainsAny(word, " ,") {
			values = append(values, word)
		}
	}
	return values
}

// profileNames completes the profiles that the project's services have.
func (e *env) profileNames(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	o := e.loadOptions(cmd.Context())
	o.Profiles = nil
	p, _, err := load.Load(cmd.Context(), o)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return profilesOf(p), cobra.ShellCompDirectiveNoFileComp
}

// projectNames completes the projects that the engine knows.
func (e *env) projectNames(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	projects, err := listProjects(ctx, e, true, func(string) bool { return true })
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := map[string]bool{}
	for _, p := range projects {
		names[p.Name] = true
	}
	return slices.Sorted(maps.Keys(names)), cobra.ShellCompDirectiveNoFileComp
}
