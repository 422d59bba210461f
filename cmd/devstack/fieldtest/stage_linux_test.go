package fieldtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"devstack/engine/state"
)

// commandLimit ends a devstack that hangs; starting from nothing compiles Go.
const commandLimit = 6 * time.Minute

// stage is a machine with devstack on it for one test.
type stage struct {
	binary string
	dir    string // where commands run
	env    []string
	roots  state.Roots
	mounts string
}

// newStage makes roots for the test and, at its end, looks for leaks.
func newStage(t *testing.T, env ...string) *stage {
	t.Helper()
	binary := os.Getenv(binaryEnv)
	if binary == "" {
		t.Skip("needs root")
	}
	s := &stage{
		binary: binary, dir: t.TempDir(),
		// Where a user has them; /tmp would be each container's own.
		roots:  state.Roots{Data: tempDir(t, "/var/lib"), Run: tempDir(t, "/run")},
		mounts: mounts(t),
	}
	s.env = append(os.Environ(), "DEVSTACK_DATA_ROOT="+s.roots.Data, "DEVSTACK_RUN_ROOT="+s.roots.Run, "NO_COLOR=1")
	s.env = append(s.env, env...)
	t.Cleanup(func() { s.end(t) })
	return s
}

func tempDir(t *testing.T, parent string) string {
	t.Helper()
	dir, err := os.MkdirTemp(parent, "devstack-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func (s *stage) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Dir, cmd.Env = s.dir, s.env
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// try runs devstack and gives its standard output.
func (s *stage) try(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), commandLimit)
	defer cancel()
	cmd := s.command(ctx, args...)
	var out bytes.Buffer
	var all transcript
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, &all), &all
	began := time.Now()
	err := cmd.Run()
	t.Logf("devstack %s (%v)\n%s", strings.Join(args, " "), time.Since(began).Round(time.Millisecond), all.String())
	return out.String(), err
}

// transcript is what a command printed on both streams.
type transcript struct {
	mu sync.Mutex // the streams are copied at once
	b  strings.Builder
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// run is try for what must succeed; on failure it shows the services' logs.
func (s *stage) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := s.try(t, args...)
	if err != nil {
		if i := verb(args); i >= 0 && args[i] != "logs" {
			s.try(t, append(args[:i:i], "ps", "-a")...)
			s.try(t, append(args[:i:i], "logs", "--tail", "30")...)
		}
		t.Fatalf("devstack %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// verb finds the verb behind the flags -f FILE and -p NAME.
func verb(args []string) int {
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "-f" || args[i] == "-p":
			i++
		case !strings.HasPrefix(args[i], "-"):
			return i
		}
	}
	return -1
}

// get gives the body of a URL, which must answer 200.
func get(t *testing.T, url string) string {
	t.Helper()
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("get %s: %s, %v\n%s", url, answer.Status, err, body)
	}
	return string(body)
}

// end stops the engine and reports whatever of devstack is left.
func (s *stage) end(t *testing.T) {
	t.Helper()
	if t.Failed() {
		s.try(t, "down", "-v", "-t", "1") // what a failed test leaves is no leak
	}
	s.try(t, "engine", "stop")
	s.noProcesses(t)
	for line := range strings.Lines(mounts(t)) {
		// Mounts of before may go: they are copies of the machine's own.
		if !strings.Contains(s.mounts, line) {
			t.Errorf("mount is left: %s", line)
		}
	}
	links, err := net.Interfaces()
	if err != nil {
		t.Error(err)
	}
	for _, l := range links {
		if l.Flags&net.FlagLoopback == 0 {
			t.Errorf("interface %s is left", l.Name)
		}
	}
	if rules, err := exec.Command("nft", "list", "ruleset").CombinedOutput(); err != nil || len(bytes.TrimSpace(rules)) > 0 {
		t.Errorf("rules are left: %v\n%s", err, rules)
	}
	for _, pattern := range []string{"/sys/fs/cgroup/*", "/sys/fs/cgroup/*/*"} {
		left, _ := filepath.Glob(filepath.Join(pattern, "devstack-"+s.roots.Tag()))
		if len(left) > 0 {
			t.Errorf("cgroups are left: %v", left)
		}
	}
	for _, dir := range []string{
		filepath.Join(s.roots.Run, "netns"), filepath.Join(s.roots.Run, "projects"), filepath.Join(s.roots.Run, "sandboxes"),
		filepath.Join(s.roots.Data, "containers"), filepath.Join(s.roots.Data, "volumes"),
	} {
		left, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		for _, e := range left {
			if path := filepath.Join(dir, e.Name()); e.Name() != ".trash" || !isEmpty(path) {
				t.Errorf("file %s is left", path)
				reportTree(t, path)
			}
		}
	}
}

func isEmpty(dir string) bool {
	list, err := os.ReadDir(dir)
	return err == nil && len(list) == 0
}

func reportTree(t *testing.T, root string) {
	filepath.WalkDir(root, func(path string, _ fs.DirEntry, _ error) error {
		t.Log(path)
		return nil
	})
}

// noProcesses waits for every other process of the namespace to end, and
// kills and reports those that do not.
func (s *stage) noProcesses(t *testing.T) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(5 * time.Second)
	for _, proc := range all {
		pid, _ := strconv.Atoi(filepath.Base(proc))
		if pid <= 1 || pid == os.Getpid() {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // it is gone
		}
		name, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
		left := max(time.Until(deadline), 0)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds()))
		if err == nil && n == 0 {
			t.Errorf("process %d is left: %s", pid, bytes.ReplaceAll(name, []byte{0}, []byte{' '}))
			unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		unix.Close(fd)
	}
}

func mounts(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
