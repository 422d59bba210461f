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
			if why, ok := known[filepath.ToSlash(rel)]; ok {
				t.Log("differs on purpose: " + why)
				return
			}
			t.Chdir(filepath.Dir(path))
			compare(t, Options{Files: []string{path}, Environ: hostEnv()})
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// knownDifferences are files that the two loaders treat differently, and why.
func knownDifferences() map[string]string {
	return map[string]string{}
}
