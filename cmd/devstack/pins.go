package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"devstack/compose"
	"devstack/compose/load"
	"devstack/compose/lock"
	"devstack/engine/api"
	"devstack/engine/image"
)

// addFrozen declares --frozen.
func addFrozen(f *pflag.FlagSet, frozen *bool) {
	f.BoolVar(frozen, "frozen", false, "Fail where devstack.lock and the files disagree (also: DEVSTACK_FROZEN=1)")
}

// pins is what devstack.lock says for a project, nil without one. Frozen, it is
// held to be complete first.
func (e *env) pins(ctx context.Context, p *compose.Project, frozen bool) (*api.Lock, error) {
	frozen = frozen || e.settingBool(nil, "DEVSTACK_FROZEN")
	f, err := lock.ReadFile(lockPath(p))
	if errors.Is(err, fs.ErrNotExist) {
		if !frozen {
			return nil, nil
		}
		f, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	if frozen {
		if err := e.checkLock(ctx, p, f); err != nil {
			return nil, err
		}
	} else {
		e.warnUnlocked(p, f)
	}
	out := &api.Lock{Digests: map[string]string{}, Frozen: frozen}
	if f != nil {
		for ref, img := range f.Images {
			out.Digests[ref] = img.Digest
		}
	}
	return out, nil
}

// lockPath is beside the first project file.
func lockPath(p *compose.Project) string {
	if len(p.Files) > 0 && filepath.IsAbs(p.Files[0]) {
		return filepath.Join(filepath.Dir(p.Files[0]), lock.Name)
	}
	return filepath.Join(p.WorkingDir, lock.Name)
}

// canonOf spells references in full. What the project builds itself comes from
// no registry.
func canonOf(p *compose.Project) lock.Canon {
	built := image.Built(p)
	return func(ref string) (string, bool, error) {
		r, err := image.ParseReference(ref)
		if err != nil {
			return "", false, err
		}
		return r.String(), r.Transport == image.Docker && r.Digest == "" && built[r.String()] == "", nil
	}
}

// checkLock fails at every place where lock and files disagree; f is nil where
// there is no lock.
func (e *env) checkLock(ctx context.Context, p *compose.Project, f *lock.File) error {
	uses, err := e.imageUses(ctx, p)
	if err != nil {
		return err
	}
	found, err := lock.Check(f, uses, canonOf(p))
	if err != nil || len(found) == 0 {
		return err
	}
	fault := &load.Error{}
	for _, d := range found {
		if filepath.IsAbs(d.Pos.File) {
			d.Pos.File = e.near(d.Pos.File)
		}
		fault.Diagnostics = append(fault.Diagnostics, load.Diagnostic{Pos: d.Pos, Message: d.Text, Line: sourceLine(d.Pos), Width: 1})
	}
	fault.Diagnostics[len(found)-1].Hint = "`devstack lock` writes what is missing and drops what is not named any more"
	return fault
}

// near is a path as people like to read it.
func (e *env) near(path string) string {
	if rel, err := filepath.Rel(e.cwd, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}

// warnUnlocked says which images the lock does not hold yet. Those of
// Dockerfiles are known only to who reads them.
func (e *env) warnUnlocked(p *compose.Project, f *lock.File) {
	enabled := *p
	enabled.Disabled = nil
	found, err := lock.Check(f, fromRegistries(&enabled, lock.Uses(&enabled)), canonOf(p))
	if err != nil || e.flags.progress == "quiet" || e.machineReads() {
		return
	}
	var missing []string
	for _, d := range found {
		if d.Use.Ref != "" && !slices.Contains(missing, d.Use.Ref) {
			missing = append(missing, d.Use.Ref)
		}
	}
	if len(missing) > 0 {
		fmt.Fprintf(e.stderr, "warning: %s does not have %s: `devstack lock` adds what is missing\n", lock.Name, strings.Join(missing, ", "))
	}
}

// imageUses are all places of the project's files that name an image,
// Dockerfiles included: those the engine reads.
func (e *env) imageUses(ctx context.Context, p *compose.Project) ([]lock.Use, error) {
	uses := fromRegistries(p, lock.Uses(p))
	all := *p
	all.Services, all.Disabled = maps.Clone(p.Services), nil
	for name, s := range p.Disabled {
		if _, ok := all.Services[name]; !ok {
			all.Services[name] = s
		}
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(all.Services)), func(s compose.Service) bool { return s.Build != nil }) {
		return uses, nil
	}
	c, err := e.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	res, err := c.References(ctx, api.BuildRequest{Project: &all, WorkingDir: p.WorkingDir, Credentials: e.credentials()})
	if err != nil {
		return nil, err
	}
	for _, r := range res.References {
		u := lock.Use{Ref: r.Ref, Platform: r.Platform, Service: r.Service, What: r.What, Pos: compose.Pos{File: e.near(r.File), Line: r.Line, Col: 1}}
		if r.File == "" {
			u.Pos = p.Pos("services", r.Service, "build", "dockerfile_inline")
		}
		uses = append(uses, u)
	}
	return uses, nil
}

// fromRegistries leaves out images that are never asked for.
func fromRegistries(p *compose.Project, uses []lock.Use) []lock.Use {
	return slices.DeleteFunc(uses, func(u lock.Use) bool {
		s, ok := p.Services[u.Service]
		if !ok {
			s = p.Disabled[u.Service]
		}
		return u.What == "image" && s.PullPolicy == "never"
	})
}
