package live

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"devstack/compose"
	"devstack/compose/load"
	"devstack/engine/api"
	"devstack/engine/image/registry/credentials"
	"devstack/engine/outside"
	"devstack/engine/watch"
)

// Sources are the files that have a say in a project, as they were just before
// they were read.
type Sources map[string]stamp

// stamp tells versions of a file apart; the zero value is a file that is not
// there.
type stamp struct {
	size int64
	at   time.Time
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.Size(), info.ModTime()}
}

// Load loads the project as the client did. The sources are complete also
// where it fails: as far as it came.
func Load(ctx context.Context, req api.WatchRequest) (*compose.Project, Sources, error) {
	o, from := req.Load, Sources{}
	p, _, err := load.Load(ctx, load.Options{
		Files: o.Files, WorkingDir: o.Cwd, ProjectDirectory: o.ProjectDirectory, ProjectName: o.ProjectName,
		EnvFiles: o.EnvFiles, Profiles: o.Profiles, Services: req.Services, Environ: o.Environ, KeepLinks: true,
		Consulted: func(path string) {
			if _, seen := from[path]; !seen {
				from[path] = stampOf(path)
			}
		},
	})
	return p, from, loadError(err)
}

// load is Load, and what a client does with a project before it sends it.
func (s *Session) load(ctx context.Context) (*compose.Project, Sources, error) {
	req := s.o.Request
	p, from, err := Load(ctx, req)
	if err != nil {
		return nil, from, err
	}
	var meta api.Meta
	if running := s.o.Engine.Project(req.Name); running != nil {
		_, meta = running.Declared()
	}
	return p, from, outside.Settle(p, req.Services, credentials.New(req.Load.Environ).Getenv, meta.Provided)
}

// loadError carries the places of all faults.
func loadError(err error) error {
	var faults *load.Error
	if !errors.As(err, &faults) {
		return err
	}
	var b bytes.Buffer
	load.Render(&b, faults.Diagnostics, false)
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	return &api.Error{Message: "the project files have faults", Detail: lines}
}

// model are the sources as part of what is watched.
func (from Sources) model() []watch.ModelFile {
	var out []watch.ModelFile
	for _, path := range slices.Sorted(maps.Keys(from)) {
		out = append(out, watch.ModelFile{Path: path, Kind: watch.ComposeFile})
	}
	return out
}

// changed are those that are other versions now.
func (from Sources) changed() []watch.ModelFile {
	return slices.DeleteFunc(from.model(), func(f watch.ModelFile) bool { return stampOf(f.Path) == from[f.Path] })
}

// same reports whether both are about the same files.
func (from Sources) same(other Sources) bool {
	return len(from) == len(other) && from.covers(other)
}

// covers reports whether from has all the files of other.
func (from Sources) covers(other Sources) bool {
	for path := range other {
		if _, ok := from[path]; !ok {
			return false
		}
	}
	return true
}
