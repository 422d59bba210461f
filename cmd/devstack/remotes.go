package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"devstack/cmd/devstack/remote"
	"devstack/compose/load"
)

// remotes gets project files that lie elsewhere. The cache is made when the
// first of them is asked for.
type remotes struct {
	e       *env
	cache   *remote.Cache
	fetched bool
}

// remote is what loads look elsewhere with: all of a process share one.
func (e *env) remote() load.Remote {
	if e.remotes == nil {
		e.remotes = &remotes{e: e}
	}
	return e.remotes
}

func (r *remotes) Takes(ref string) bool { return r.open().Takes(ref) }

func (r *remotes) Fetch(ctx context.Context, ref string, stale bool) (load.Fetched, error) {
	kind := "GIT"
	if strings.HasPrefix(ref, "oci://") {
		kind = "OCI"
	}
	key := "COMPOSE_EXPERIMENTAL_" + kind + "_REMOTE"
	if on, err := strconv.ParseBool(r.e.getenv(key)); err == nil && !on {
		return load.Fetched{}, fmt.Errorf("projects from elsewhere are disabled by %s", key)
	}
	r.fetched = true
	return r.open().Fetch(ctx, ref, stale)
}

// used says that a project file came from elsewhere.
func (r *remotes) used() bool { return r != nil && r.fetched }

func (r *remotes) open() *remote.Cache {
	if r.cache == nil {
		r.cache = &remote.Cache{Dir: r.e.cacheDir(), Environ: r.e.credentials().Environ, Warn: func(text string) {
			if r.e.flags.progress != "quiet" {
				fmt.Fprintln(r.e.stderr, "warning: "+text)
			}
		}}
	}
	return r.cache
}

// cacheDir is where copies of project files from elsewhere are kept.
func (e *env) cacheDir() string {
	base := e.getenv("XDG_CACHE_HOME")
	home := e.getenv("HOME")
	switch {
	case filepath.IsAbs(base):
	case runtime.GOOS == "windows":
		base = e.getenv("LocalAppData")
	case home != "" && runtime.GOOS == "darwin":
		base = filepath.Join(home, "Library", "Caches")
	case home != "":
		base = filepath.Join(home, ".cache")
	default:
		base = e.roots().Data
	}
	return filepath.Join(base, "devstack", "projects")
}
