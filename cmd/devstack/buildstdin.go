package main

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"devstack/engine/api"
)

// readsStdin says whether one of the services to build has the context "-".
func readsStdin(req *api.BuildRequest) bool {
	var seen []string
	var reads func(name string) bool
	reads = func(name string) bool {
		s := req.Project.Services[name]
		if slices.Contains(seen, name) || s.Build == nil {
			return false
		}
		seen = append(seen, name)
		if s.Build.Context == "-" {
			return true
		}
		for _, c := range s.Build.AdditionalContexts {
			if other, ok := strings.CutPrefix(c, "service:"); ok && reads(other) {
				return true
			}
		}
		return false
	}
	if len(req.Services) > 0 && !req.WithDeps {
		return slices.ContainsFunc(req.Services, reads)
	}
	for name := range req.Project.Services {
		if reads(name) {
			return true
		}
	}
	return false
}

// keepStdin puts what standard input has into a file, which the engine reads:
// several services, and several platforms of one, may want it. end removes it.
func (e *env) keepStdin(ctx context.Context, path *string) (end func(), err error) {
	if isTerminal(e.stdin) {
		return nil, errors.New("it is a terminal: redirect a tarball or a Dockerfile into it")
	}
	f, err := os.CreateTemp("", "devstack-context-")
	if err != nil {
		return nil, err
	}
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(f, e.stdin)
		copied <- errors.Join(err, f.Close())
	}()
	select {
	case err = <-copied:
	case <-ctx.Done(): // a read from a pipe cannot be interrupted
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(f.Name()))
	}
	*path = f.Name()
	return func() { os.Remove(f.Name()) }, nil
}
