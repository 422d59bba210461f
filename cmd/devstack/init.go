package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"devstack/cmd/devstack/scaffold"
	"devstack/compose/load"
)

func newInitCmd(e *env) *cobra.Command {
	var stdout bool
	cmd := &cobra.Command{
		Use:   "init [OPTIONS] [DIRECTORY]",
		Short: "Write a compose.yaml for a repository",
		Long: "Write a compose.yaml for a repository.\n\n" +
			"It looks for programs in Go, Node.js, Python, Ruby, Java, Rust and PHP, for Dockerfiles, and for the databases " +
			"that they use. A project file that is there is never overwritten.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := e.cwd
			if e.flags.directory != "" {
				dir = e.path(e.flags.directory)
			}
			if len(args) > 0 {
				dir = e.path(args[0])
			}
			return runInit(cmd.Context(), e, dir, stdout)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
	cmd.Flags().BoolVar(&stdout, "stdout", false, "Print the file instead of writing it")
	return cmd
}

func runInit(ctx context.Context, e *env, dir string, stdout bool) error {
	if !stdout {
		for _, name := range load.FileNames() {
			if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
				return fmt.Errorf("%s is there already\nhint: --stdout shows what would be written", filepath.Join(dir, name))
			}
		}
	}
	proposal, err := scaffold.Detect(os.DirFS(dir))
	if err != nil {
		return err
	}
	if len(proposal.Services) == 0 {
		return fmt.Errorf("found neither a Dockerfile nor a program in %s\nhint: it looks for go.mod, package.json, requirements.txt, pyproject.toml, Gemfile, pom.xml, build.gradle, Cargo.toml and composer.json", dir)
	}
	name := cmp.Or(e.flags.name, load.NormalizeName(filepath.Base(dir)))
	text := proposal.YAML(cmp.Or(name, "app"))
	if stdout || e.flags.dryRun {
		_, err := e.stdout.Write(text)
		return err
	}
	if err := e.writeNew(filepath.Join(dir, "compose.yaml"), text); err != nil {
		return err
	}
	var parts []string
	for _, s := range proposal.Services {
		parts = append(parts, s.Name+" ("+cmp.Or(s.Language, "Dockerfile")+")")
	}
	for _, db := range proposal.Databases {
		parts = append(parts, db.Name)
	}
	fmt.Fprintf(e.stderr, "Wrote %s: %s\n", filepath.Join(dir, "compose.yaml"), strings.Join(slices.Compact(parts), ", "))
	return nil
}

// writeNew writes a file that must not exist yet.
func (e *env) writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
