package load

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// upstream is a copy of the module's files that tests may run in.
func upstream(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/compose-spec/compose-go/v2").Output()
	if err != nil {
		t.Fatalf("find compose-go: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "compose-go")
	if err := os.CopyFS(dir, os.DirFS(string(bytes.TrimSpace(out)))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestUpstream loads every YAML file that compose-go ships with both loaders.
func TestUpstream(t *testing.T) {
	dir := upstream(t)
	known := knownDifferences()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ext := filepath.Ext(path); d.IsDir() || ext != ".yaml" && ext != ".yml" || strings.HasPrefix(d.Name(), ".") {
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		t.Run(filepath.ToSlash(rel), func(t *testing.T) {
			t.Chdir(filepath.Dir(path))
			compare(t, Options{Files: []string{path}, Environ: hostEnv()}, false, known[filepath.ToSlash(rel)])
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// knownDifferences are files that the two loaders treat differently, and why.
func knownDifferences() map[string]string {
	known := map[string]string{}
	for name, why := range map[string]string{
		"additional-contexts-int": "compose-go panics on a context that is no text",
		"blkio-weight-text":       "the specification allows text; compose-go cannot read it",
		"build-ulimit-text":       "the specification allows text; compose-go cannot read it below build",
		"cpu-percent-fraction":    "the specification allows fractions; compose-go does not",
		"cpu-times-with-unit":     "the specification allows units; compose-go cannot read them",
		"device-without-target":   "a CDI device has no target; compose-go wants one in the long form",
		"documents-trailing":      "compose-go refuses an empty document at the end",
		"environment-date":        "compose-go rewrites what looks like a date; a variable's text stays here",
		"pid-null":                "the specification allows it; compose-go panics",
		"ssh-map":                 "compose-go cannot print what it has read",
		"storage-opt-types":       "the specification allows any scalar; compose-go takes text and numbers",
		"tmpfs-mode-text":         "the specification allows text; compose-go cannot read it",
		"ulimit-zero":             "compose-go prints a limit of 0 as {}, which it cannot read again",
		"version-number":          "an unquoted version is no reason to refuse a file",
	} {
		known["testdata/compat/differs-"+name+".yaml"] = why
	}
	return known
}
