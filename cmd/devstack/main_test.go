package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The tools end by syscall.Exit: os.Exit of a program built with -race sleeps
// for a second first, and inside containers nothing can tell it not to.
func TestMain(m *testing.M) {
	beInit()
	testscript.Main(m, map[string]func(){
		"devstack": main,
		"testd":    func() { testd(); syscall.Exit(0) },
		"crashd":   func() { crashd(); syscall.Exit(0) },
	})
}

// TestScript runs testdata/script: what needs no engine, or a played one (see
// fakeengine).
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		Setup:               setup,
		Cmds:                commands(),
		Deadline:            time.Now().Add(3 * patience),
		UpdateScripts:       os.Getenv("UPDATE") != "",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// setup gives a script an environment that does not depend on the machine.
func setup(env *testscript.Env) error {
	bin := filepath.SplitList(os.Getenv("PATH"))[0] // put there by testscript.Main
	env.Vars = append(
		env.Vars,
		"HOME="+filepath.Join(env.WorkDir, "home"),
		"DEVSTACK_DATA_ROOT="+filepath.Join(env.WorkDir, "data"),
		"DEVSTACK_RUN_ROOT="+filepath.Join(env.WorkDir, "run"),
		"TERM=xterm",
		"BIN="+bin,
		// A program built with -race would sleep for a second at its end.
		"GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"),
	)
	env.Values[gitServerKey{}] = &gitServer{}
	return os.MkdirAll(filepath.Join(env.WorkDir, "home"), 0o777)
}

// commands are the scripts' own words.
func commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"distribution": cmdDistribution,
		"fakeengine":   cmdFakeEngine,
		"gitserver":    cmdGitServer,
		"httpget":      cmdHTTPGet,
		"ocilayout":    cmdOCILayout,
		"waitfor":      cmdWaitFor,
	}
}

// patience is how long a script waits for anything.
const patience = 20 * time.Second

// cmdWaitFor: `waitfor FILE REGEXP` waits until a file has a match.
// `waitfor exec CMD ARGS...` waits until a command succeeds.
func cmdWaitFor(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: waitfor FILE REGEXP | waitfor exec CMD ARGS...")
	}
	try := func() error { return ts.Exec(args[1], args[2:]...) }
	if args[0] != "exec" {
		re := regexp.MustCompile("(?m)" + args[1])
		try = func() error {
			data, err := os.ReadFile(ts.MkAbs(args[0]))
			if err == nil && !re.Match(data) {
				err = fmt.Errorf("%s has no match for %q:\n%s", args[0], args[1], data)
			}
			return err
		}
	}
	ts.Check(eventually(func() error {
		err := try()
		if neg && err == nil {
			return fmt.Errorf("%s still holds", strings.Join(args, " "))
		}
		if neg {
			return nil
		}
		return err
	}))
}

// eventually repeats try until it succeeds; there is no event to wait for from
// outside of the program.
func eventually(try func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %v: %w", patience, err)
		case <-again.C:
		}
	}
}

// cmdHTTPGet: `httpget URL REGEXP` waits until the answer's body matches.
func cmdHTTPGet(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: httpget URL REGEXP")
	}
	re := regexp.MustCompile("(?m)" + args[1])
	client := http.Client{Timeout: 5 * time.Second}
	get := func() error {
		req, err := http.NewRequest(http.MethodGet, args[0], nil)
		if err != nil {
			return err
		}
		req.Header.Set("Accept", "*/*, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err == nil && !re.Match(body) {
			err = fmt.Errorf("%s: %q does not match %q", args[0], body, args[1])
		}
		return err
	}
	if neg {
		if err := get(); err == nil {
			ts.Fatalf("%s answers with a match for %q", args[0], args[1])
		}
		return
	}
	ts.Check(eventually(get))
}
