package fieldtest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestReadme runs every block of commands of the README, in order, from the
// top of the repository, as one script each. A block that ends in a foreground
// `up` is interrupted, as by Ctrl-C, once the page is there.
func TestReadme(t *testing.T) {
	s := newStage(t)
	s.dir = repository(t)
	tools := t.TempDir()
	if err := os.Symlink(s.binary, filepath.Join(tools, "devstack")); err != nil {
		t.Fatal(err)
	}
	// The tests are root already; sudo need not be installed.
	if err := os.WriteFile(filepath.Join(tools, "sudo"), []byte("#!/bin/sh\nexec \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "PATH="+tools+":"+os.Getenv("PATH"), "GOFLAGS=-buildvcs=false")

	blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```").FindAllStringSubmatch(readFile(t, filepath.Join(s.dir, "README.md")), -1)
	if len(blocks) < 2 {
		t.Fatalf("the README has %d blocks of commands", len(blocks))
	}
	ci := readFile(t, filepath.Join(s.dir, ".ci", "run"))
	foreground := regexp.MustCompile(`devstack .*\bup\n$`)
	for _, block := range blocks {
		script := block[1]
		switch {
		case strings.Contains(script, "go test"):
			if command := strings.TrimPrefix(strings.TrimSpace(script), "sudo "); !strings.Contains(ci, strings.Fields(command)[2]) {
				t.Errorf("CI does not run the README's test command %q", command)
			}
		case strings.Contains(script, "make bench"):
			// cmd/bench has its own test; a whole run takes minutes.
		case foreground.MatchString(script):
			s.interrupted(t, script)
		default:
			s.script(t, script)
		}
	}
	s.run(t, "-f", "examples/hello/compose.yaml", "down", "-v")
}

func (s *stage) script(t *testing.T, script string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-euxc", script)
	cmd.Dir, cmd.Env, cmd.WaitDelay = s.dir, s.env, 5*time.Second
	out, err := cmd.CombinedOutput()
	t.Logf("%s\n%s", script, out)
	if err != nil {
		t.Errorf("%s: %v\n%s", script, err, out)
	}
}

// interrupted runs a script whose last command stays in the foreground.
func (s *stage) interrupted(t *testing.T, script string) {
	t.Helper()
	cmd := exec.Command("sh", "-euxc", script)
	cmd.Dir, cmd.Env, cmd.WaitDelay = s.dir, s.env, 5*time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	page := pageWatcher{url: "http://127.0.0.1:8080/", text: "listening on port 80", seen: make(chan struct{}, 1)}
	cmd.Stdout, cmd.Stderr = &page, &page
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-page.seen:
		if body := get(t, page.url); !strings.Contains(body, "Hello, visitor") {
			t.Errorf("page:\n%s", body)
		}
	case <-time.After(commandLimit):
		t.Error("the page does not come up")
	case err := <-done:
		t.Fatalf("%s ended: %v\n%s", script, err, page.all.String())
	}
	if err := unix.Kill(-cmd.Process.Pid, unix.SIGINT); err != nil {
		t.Error(err)
	}
	select {
	case <-done: // its exit code is that of an interrupted command
	case <-time.After(30 * time.Second):
		t.Error("Ctrl-C does not end it")
		unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		<-done
	}
	t.Logf("%s\n%s", script, page.all.String())
}

// pageWatcher takes the output of `up` and says when the service web has
// said text.
type pageWatcher struct {
	url, text string
	all       transcript
	seen      chan struct{}
}

func (w *pageWatcher) Write(p []byte) (int, error) {
	w.all.Write(p)
	for line := range strings.Lines(w.all.String()) {
		if strings.HasPrefix(line, "web") && strings.Contains(line, w.text) {
			select {
			case w.seen <- struct{}{}:
			default:
			}
		}
	}
	return len(p), nil
}
