package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// minArgs asks for arguments by their names.
func minArgs(n int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= n {
			return nil
		}
		return fmt.Errorf("%s needs %s\n\nUsage:  %s", cmd.CommandPath(), strings.Join(names[len(args):], " and "), cmd.UseLine())
	}
}

// acceptNoTTY takes --no-TTY, the older spelling of --no-tty.
func acceptNoTTY(f *pflag.FlagSet) {
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "no-TTY" {
			name = "no-tty"
		}
		return pflag.NormalizedName(name)
	})
}

// bareKey reports that kv is a variable named without a value.
func bareKey(kv string) (string, bool) { return kv, kv != "" && !strings.Contains(kv, "=") }

// exactArgs asks for arguments by their names, and for no more.
func exactArgs(n int, names ...string) cobra.PositionalArgs {
	atLeast := minArgs(n, names...)
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return fmt.Errorf("%s takes no more than %s\n\nUsage:  %s", cmd.CommandPath(), strings.Join(names, " and "), cmd.UseLine())
		}
		return atLeast(cmd, args)
	}
}

// rangeArgs asks for at least n of the named arguments, and takes no more than
// all of them.
func rangeArgs(n int, names ...string) cobra.PositionalArgs {
	atLeast := minArgs(n, names[:n]...)
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > len(names) {
			return fmt.Errorf("%s takes no more than %s\n\nUsage:  %s", cmd.CommandPath(), strings.Join(names, " and "), cmd.UseLine())
		}
		return atLeast(cmd, args)
	}
}
