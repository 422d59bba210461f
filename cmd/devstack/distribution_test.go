package main

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"devstack/engine/image/imagetest"
)

// cmdDistribution: `distribution NAME [tls] [login]` runs Debian's
// docker-registry until the script ends: its address is $NAME, the file with
// its authority $NAME_CA. With login it admits me with the password secret.
// `! distribution NAME` ends it.
func cmdDistribution(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: [!] distribution NAME [tls] [login]")
	}
	name := args[0]
	if neg {
		pid, err := strconv.Atoi(ts.Getenv(name + "_PID"))
		ts.Check(err)
		p, err := os.FindProcess(pid)
		ts.Check(err)
		ts.Check(p.Kill())
		_, err = p.Wait()
		ts.Check(err)
		return
	}
	d := imagetest.Distribution{TLS: slices.Contains(args[1:], "tls"), Login: slices.Contains(args[1:], "login")}
	dir := ts.MkAbs("distribution-" + name)
	ts.Check(os.MkdirAll(dir, 0o700))
	r, stop, err := d.Start(dir)
	if errors.Is(err, exec.ErrNotFound) {
		ts.Fatalf("the package docker-registry is not installed")
	}
	ts.Check(err)
	ts.Defer(stop)
	ts.Setenv(name, r.Host)
	ts.Setenv(name+"_CA", r.CA)
	ts.Setenv(name+"_PID", strconv.Itoa(r.PID))
}
