package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/creack/pty"
	"github.com/rogpeppe/go-internal/testscript"
)

// cmdTerminal: `terminal FILE CMD ARGS...` runs a command whose standard
// streams are all one terminal of 40 rows and 100 columns, at which FILE is
// typed. What appears is its stdout. Lines of FILE that begin with @ are acts:
//
//	@wait TEXT         until TEXT appears
//	@size ROWS COLUMNS
//	@key ^C
//	@run COMMAND       of the shell
func cmdTerminal(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: terminal FILE CMD ARGS...")
	}
	cmd := exec.Command(args[1], args[2:]...)
	for _, dir := range strings.Split(ts.Getenv("PATH"), ":") {
		if _, err := os.Stat(dir + "/" + args[1]); err == nil {
			cmd.Path, cmd.Err = dir+"/"+args[1], nil
			break
		}
	}
	cmd.Dir = ts.MkAbs(".")
	for _, key := range []string{"PATH", "HOME", "TERM", "DEVSTACK_DATA_ROOT", "DEVSTACK_RUN_ROOT", "BIN", "WORK"} {
		cmd.Env = append(cmd.Env, key+"="+ts.Getenv(key))
	}
	master, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 100})
	ts.Check(err)
	defer master.Close()
	s := &screen{dir: cmd.Dir, env: cmd.Env}
	read := make(chan struct{})
	go func() {
		defer close(read)
		s.readFrom(master)
	}()
	kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		ts.Check(s.act(master, strings.TrimRight(line, "\n")))
	}
	err = cmd.Wait()
	<-read
	fmt.Fprint(ts.Stdout(), strings.ReplaceAll(s.text(), "\r", ""))
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		fmt.Fprintf(ts.Stdout(), "[exit %d]\n", exit.ExitCode())
	}
	if (err != nil) != neg {
		ts.Fatalf("%v: %v\n%s", args[1:], err, s.text())
	}
}

// screen is what appeared on a terminal.
type screen struct {
	dir string // where the command runs
	env []string

	mu   sync.Mutex
	seen bytes.Buffer
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.String()
}

// readFrom reads until the last holder of the terminal has closed it.
func (s *screen) readFrom(f *os.File) {
	buf := make([]byte, 4096)
	for {
		n, err := f.Read(buf)
		s.mu.Lock()
		s.seen.Write(buf[:n])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *screen) act(f *os.File, line string) error {
	what, rest, _ := strings.Cut(line, " ")
	switch what {
	case "@wait":
		return eventually(func() error {
			if !strings.Contains(s.text(), rest) {
				return fmt.Errorf("%q does not appear:\n%s", rest, s.text())
			}
			return nil
		})
	case "@size":
		var size pty.Winsize
		if _, err := fmt.Sscan(rest, &size.Rows, &size.Cols); err != nil {
			return err
		}
		return pty.Setsize(f, &size)
	case "@run":
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		sh := exec.CommandContext(ctx, "sh", "-c", rest)
		sh.Dir, sh.Env = s.dir, s.env
		return sh.Run()
	case "@key":
		_, err := f.Write([]byte{rest[1] & 0x1f})
		return err
	}
	_, err := f.WriteString(line + "\n")
	return err
}
