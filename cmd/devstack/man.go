package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newManCmd writes the manual pages that packages ship. cobra's own generator
// would bring a Markdown renderer into every start of the program.
func newManCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIRECTORY",
		Short:  "Write the manual pages into a directory",
		Hidden: true,
		Args:   exactArgs(1, "DIRECTORY"),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := e.path(args[0])
			if err := os.MkdirAll(dir, 0o777); err != nil {
				return err
			}
			complete := *e
			complete.args = nil // so that the tree has every verb
			return writePages(dir, newRootCmd(&complete))
		},
	}
}

func writePages(dir string, cmd *cobra.Command) error {
	name := pageName(cmd)
	if err := os.WriteFile(filepath.Join(dir, name+".1"), page(cmd), 0o666); err != nil {
		return err
	}
	for _, c := range documented(cmd) {
		if err := writePages(dir, c); err != nil {
			return err
		}
	}
	return nil
}

func documented(cmd *cobra.Command) (list []*cobra.Command) {
	for _, c := range cmd.Commands() {
		if !c.Hidden && c.Name() != "help" && c.Name() != "completion" {
			list = append(list, c)
		}
	}
	return list
}

func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// page is one manual page; see man-pages(7).
func page(cmd *cobra.Command) []byte {
	var b bytes.Buffer
	name := pageName(cmd)
	fmt.Fprintf(&b, ".TH %q 1 \"\" \"devstack %s\" \"devstack manual\"\n", strings.ToUpper(name), version)
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(name), roff(cmd.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roff(cmd.CommandPath()))
	if _, arguments, ok := strings.Cut(strings.ReplaceAll(cmd.UseLine(), "\n\t", "\n.br\n"), cmd.CommandPath()+" "); ok {
		fmt.Fprintln(&b, roff(arguments))
	} else if cmd.HasSubCommands() {
		fmt.Fprintln(&b, "[OPTIONS] COMMAND")
	}
	fmt.Fprint(&b, ".SH DESCRIPTION\n")
	for i, paragraph := range strings.Split(cmp.Or(cmd.Long, cmd.Short), "\n\n") {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		fmt.Fprintln(&b, roff(strings.TrimSpace(paragraph)))
	}
	flagsOf(&b, cmd)
	if list := documented(cmd); len(list) > 0 {
		b.WriteString(".SH COMMANDS\n")
		for _, c := range list {
			fmt.Fprintf(&b, ".TP\n.BR %s (1)\n%s\n", roff(pageName(c)), roff(c.Short))
		}
	}
	if cmd.HasParent() {
		fmt.Fprintf(&b, ".SH SEE ALSO\n.BR %s (1)\n", roff(pageName(cmd.Parent())))
	}
	return b.Bytes()
}

func flagsOf(b *bytes.Buffer, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.AddFlagSet(cmd.InheritedFlags())
	flags.AddFlagSet(cmd.PersistentFlags())
	if !flags.HasAvailableFlags() {
		return
	}
	b.WriteString(".SH OPTIONS\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		b.WriteString(".TP\n")
		if f.Shorthand != "" {
			fmt.Fprintf(b, "\\fB\\-%s\\fR, ", f.Shorthand)
		}
		fmt.Fprintf(b, "\\fB\\-\\-%s\\fR", roff(f.Name))
		if kind != "" {
			fmt.Fprintf(b, " \\fI%s\\fR", roff(kind))
		}
		fmt.Fprintf(b, "\n%s\n", roff(usage))
	})
}

// roff escapes text for a manual page; a line must not begin with a dot or an
// apostrophe. Requests of ours, ".br", stay.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if l != ".br" && (strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'")) {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
