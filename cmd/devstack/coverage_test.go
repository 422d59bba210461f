package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestEveryFlagHasAScript: each verb, and each of its flags, is used in a
// script.
func TestEveryFlagHasAScript(t *testing.T) {
	lines := scriptLines(t)
	var missing []string
	seen := map[string]bool{}
	each(newRootCmd(&env{stdin: strings.NewReader(""), stdout: os.Stdout, stderr: os.Stderr}), func(cmd *cobra.Command) {
		path := strings.TrimPrefix(cmd.CommandPath(), "devstack")
		verb := "devstack " + strings.TrimSpace(path)
		if cmd.Name() == "help" || cmd.Hidden || strings.HasPrefix(path, " completion ") {
			return // cobra's own
		}
		uses := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return !usesVerb(line, path) })
		if len(uses) == 0 {
			missing = append(missing, verb)
			return
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" || f.Hidden || seen[verb+f.Name] {
				return
			}
			seen[verb+f.Name] = true
			if !slices.ContainsFunc(uses, func(line string) bool { return usesFlag(line, f) }) {
				missing = append(missing, verb+" --"+f.Name)
			}
		})
	})
	if len(missing) > 0 {
		t.Errorf("used in no script:\n%s", strings.Join(missing, "\n"))
	}
}

// scriptLines are the commands of all scripts.
func scriptLines(t *testing.T) (lines []string) {
	t.Helper()
	for _, pattern := range []string{"testdata/script/*.txtar", "testdata/script/*/*.txtar"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			commands, _, _ := strings.Cut("\n"+string(data), "\n-- ")
			for line := range strings.Lines(commands) {
				if strings.Contains(line, "devstack") && !strings.HasPrefix(strings.TrimSpace(line), "#") {
					lines = append(lines, strings.TrimSpace(line))
				}
			}
		}
	}
	if len(lines) == 0 {
		t.Fatal("no scripts")
	}
	return lines
}

// usesVerb says that a line has a verb behind devstack and global flags.
func usesVerb(line, path string) bool {
	words := strings.Fields(path)
	fields := strings.Fields(line)
	for i, w := range fields {
		if strings.HasSuffix(w, "devstack") && (len(words) == 0 || slices.Contains(fields[i+1:], words[0])) {
			rest := fields[i+1:]
			for _, word := range words {
				at := slices.Index(rest, word)
				if at < 0 {
					return false
				}
				rest = rest[at+1:]
			}
			return true
		}
	}
	return false
}

func usesFlag(line string, f *pflag.Flag) bool {
	if regexp.MustCompile(`(^|\s)--` + f.Name + `($|[\s='"])`).MatchString(line) {
		return true
	}
	return f.Shorthand != "" && regexp.MustCompile(`(^|\s)-[A-Za-z]*`+f.Shorthand).MatchString(line)
}
