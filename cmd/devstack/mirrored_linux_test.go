package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"devstack/engine/api"
	"devstack/engine/state"
	"devstack/engine/watch/apply"
)

// cmdMirrored: `mirrored FOLDER SERVICE TARGET [SKIPPED...]` waits until a
// folder of a service's container is equal to one of the script's, file by
// file; paths that are skipped, with all in them, are looked at on neither side.
func cmdMirrored(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: mirrored FOLDER SERVICE TARGET [SKIPPED...]")
	}
	roots := state.RootsFrom(ts.Getenv, os.Getuid())
	skip := func(rel string) bool { return slices.Contains(args[3:], rel) }
	ts.Check(eventually(func() error {
		root, err := containerRoot(roots, args[1])
		if err != nil {
			return err
		}
		diff, err := apply.Diff(ts.MkAbs(args[0]), filepath.Join(root, args[2]), skip)
		if err == nil && len(diff) > 0 {
			err = fmt.Errorf("%s and %s of %s differ in %d paths:\n%s", args[0], args[2], args[1], len(diff), strings.Join(diff[:min(10, len(diff))], "\n"))
		}
		return err
	}))
}

// containerRoot is where a service's running container has its files.
func containerRoot(roots state.Roots, service string) (string, error) {
	store, err := state.Open(roots)
	if err != nil {
		return "", err
	}
	projects, err := store.Load()
	if err != nil {
		return "", err
	}
	for _, p := range projects {
		for _, c := range p.Containers {
			if c.Service == service && c.State == api.StateRunning {
				return filepath.Join("/proc", strconv.Itoa(c.PID), "root"), nil
			}
		}
	}
	return "", fmt.Errorf("no container of %s is running", service)
}
