package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// printHelp writes a command's help in the shape of docker's.
func printHelp(e *env, cmd *cobra.Command) {
	w := cmd.OutOrStdout()
	group := cmd.HasAvailableSubCommands()
	usage := cmd.UseLine()
	switch {
	case group && cmd.HasParent():
		usage = cmd.CommandPath() + " COMMAND"
	case group:
		usage = cmd.CommandPath() + " [OPTIONS] COMMAND"
	}
	fmt.Fprintf(w, "Usage:  %s\n\n%s\n", usage, cmp.Or(cmd.Long, cmd.Short))
	if len(cmd.Aliases) > 0 {
		fmt.Fprintf(w, "\nAliases:\n  %s, %s\n", cmd.CommandPath(), strings.Join(cmd.Aliases, ", "))
	}
	printFlags(w, e, cmd)
	if group {
		printCommands(w, cmd)
	}
}

// printFlags writes all flags but --help, wrapped to the terminal.
func printFlags(w io.Writer, e *env, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.AddFlagSet(cmd.InheritedFlags())
	if help := flags.Lookup("help"); help != nil {
		help.Hidden = true
	}
	if !flags.HasAvailableFlags() {
		return
	}
	cols := 80
	if isTerminal(e.stdout) {
		cols, _ = terminalSize(e.stdout)
	}
	fmt.Fprintf(w, "\nOptions:\n%s", flags.FlagUsagesWrapped(cols))
}

func printCommands(w io.Writer, cmd *cobra.Command) {
	width := 0
	for _, c := range cmd.Commands() {
		width = max(width, len(c.Name()))
	}
	fmt.Fprint(w, "\nCommands:\n")
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			fmt.Fprintf(w, "  %-*s   %s\n", width, c.Name(), c.Short)
		}
	}
	fmt.Fprintf(w, "\nRun '%s COMMAND --help' for more information on a command.\n", cmd.CommandPath())
}
