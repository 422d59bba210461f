package load

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestBroken loads broken project files and compares what is printed.
func TestBroken(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			dir, err := filepath.Abs(filepath.Dir(file))
			if err != nil {
				t.Fatal(err)
			}
			_, warnings, err := Load(context.Background(), Options{WorkingDir: dir, Files: []string{filepath.Base(file)}, Environ: hostEnv()})
			var got bytes.Buffer
			var faults *Error
			switch {
			case err == nil:
				t.Error("the file loads")
			case errors.As(err, &faults):
				Render(&got, faults.Diagnostics, false)
			default:
				got.WriteString("error: " + err.Error() + "\n")
			}
			Render(&got, warnings, false)
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", got.Bytes())
		})
	}
}

// TestNotices loads files that are not wrong and compares what is remarked.
func TestNotices(t *testing.T) {
	files, err := filepath.Glob("testdata/notices/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			dir, err := filepath.Abs(filepath.Dir(file))
			if err != nil {
				t.Fatal(err)
			}
			_, warnings, err := Load(context.Background(), Options{WorkingDir: dir, Files: []string{filepath.Base(file)}, Environ: hostEnv()})
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			Render(&got, warnings, false)
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", got.Bytes())
		})
	}
}

// TestBrokenKinds holds the number of kinds of broken projects.
func TestBrokenKinds(t *testing.T) {
	n := 0
	for _, pattern := range []string{"testdata/broken/*.yaml", "testdata/broken-multi/*.txtar"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		n += len(files)
	}
	if n < 60 {
		t.Errorf("%d broken projects, want 60 or more", n)
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}
