package load

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Nobody writes into the pipe: only the context ends the wait.
func TestReadingEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	hold, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close() // opened for reading at once, and never read from
	if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte("services: {a: {image: x, env_file: pipe}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	for name, o := range map[string]Options{
		"project file": {Files: []string{pipe}},
		"env_file":     {},
		"input":        {Files: []string{"-"}, Stdin: hold},
	} {
		ctx, cancel := context.WithCancelCause(context.Background())
		o.WorkingDir = dir
		ended := make(chan error)
		go func() {
			_, _, err := Load(ctx, o)
			ended <- err
		}()
		cancel(stop)
		if err := <-ended; !errors.Is(err, stop) && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want the context's cause", name, err)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		dir:         "it is a directory",
		"/dev/zero": "larger than 32 MiB",
	} {
		_, _, err := Load(context.Background(), Options{WorkingDir: dir, Files: []string{path}})
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}
