package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"devstack/compose"
	"devstack/compose/lock"
	"devstack/engine/api"
	"devstack/engine/image"
)

func newLockCmd(e *env) *cobra.Command {
	var update, check, quiet bool
	cmd := &cobra.Command{
		Use:   "lock [OPTIONS] [SERVICE...]",
		Short: "Write the digests of all images to devstack.lock",
		Long: "Write devstack.lock beside the project file: what every image that the project names stands for. " +
			"up, run, create, build and pull then use exactly these.\n\n" +
			"Without --update only images that the lock does not have are asked for.",
		RunE: func(cmd *cobra.Command, services []string) error {
			if update && check {
				return errors.New("--update and --check are incompatible")
			}
			return runLock(cmd.Context(), e, services, lockOptions{update, check, quiet})
		},
		ValidArgsFunction: e.serviceNames,
	}
	f := cmd.Flags()
	f.BoolVarP(&update, "update", "u", false, "Ask for all images again (of SERVICE, if any is named)")
	f.BoolVar(&check, "check", false, "Only check that the lock and the files agree")
	f.BoolVarP(&quiet, "quiet", "q", false, "Do not print what has changed")
	return cmd
}

type lockOptions struct{ update, check, quiet bool }

func runLock(ctx context.Context, e *env, services []string, o lockOptions) error {
	p, err := e.load(ctx, services...)
	if err != nil {
		return err
	}
	old, err := lock.ReadFile(lockPath(p))
	if errors.Is(err, fs.ErrNotExist) {
		old, err = nil, nil
	}
	if err != nil {
		return err
	}
	if o.check {
		return e.checkLock(ctx, p, old)
	}
	uses, err := e.imageUses(ctx, p)
	if err != nil {
		return err
	}
	chosen := func(u lock.Use) bool { return len(services) == 0 || slices.Contains(services, u.Service) }
	var renew func(lock.Use) bool
	if o.update {
		renew = chosen
	}
	wants, fresh, err := lock.Plan(old, uses, canonOf(p), renew)
	if err != nil {
		return err
	}
	// Of services that are not named what is missing stays so.
	wants = slices.DeleteFunc(wants, func(w lock.Want) bool {
		leave := !slices.ContainsFunc(w.Uses, chosen)
		if img, ok := lockedBefore(old, w.Ref); ok && leave {
			fresh.Images[w.Ref] = img
		}
		return leave
	})
	if err := e.resolve(ctx, p, wants, fresh); err != nil {
		return err
	}
	return e.writeLock(p, old, fresh, o.quiet)
}

func lockedBefore(old *lock.File, ref string) (lock.Image, bool) {
	if old == nil {
		return lock.Image{}, false
	}
	img, ok := old.Images[ref]
	return img, ok
}

// resolve asks registries, through the engine, and adds the answers to f.
func (e *env) resolve(ctx context.Context, p *compose.Project, wants []lock.Want, f *lock.File) error {
	if len(wants) == 0 {
		return nil
	}
	c, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	req := api.LockRequest{Credentials: e.credentials()}
	for _, w := range wants {
		u := w.Uses[0]
		req.Refs = append(req.Refs, api.LockRef{Ref: u.Ref, Service: u.Service, Path: pathOf(p, u)})
	}
	res, err := c.Lock(ctx, req)
	if err != nil {
		return err
	}
	for i, w := range wants {
		f.Images[w.Ref] = lock.Image{Digest: res.Images[i].Digest, Platforms: res.Images[i].Platforms}
	}
	// A platform that is asked for may not exist.
	uses := []lock.Use{}
	for _, w := range wants {
		uses = append(uses, w.Uses...)
	}
	asked := lock.New()
	for _, w := range wants {
		asked.Images[w.Ref] = f.Images[w.Ref]
	}
	found, err := lock.Check(asked, uses, canonOf(p))
	if err != nil || len(found) == 0 {
		return err
	}
	var errs []error
	for _, d := range found {
		errs = append(errs, fmt.Errorf("%s: image %s has no platform %s", d.Pos, d.Use.Ref, d.Use.Platform))
	}
	return errors.Join(errs...)
}

// pathOf is where in the project an image is named, for errors.
func pathOf(p *compose.Project, u lock.Use) string {
	switch u.What {
	case "image":
		return compose.Path("services", u.Service, "image")
	case "volume":
		return compose.Path("services", u.Service, "volumes")
	}
	return compose.Path("services", u.Service, "build")
}

func (e *env) writeLock(p *compose.Project, old, fresh *lock.File, quiet bool) error {
	changes := lock.Diff(old, fresh)
	if !quiet {
		for _, c := range changes {
			fmt.Fprintln(e.stdout, changeLine(c))
		}
	}
	if len(changes) == 0 && old != nil {
		if !quiet {
			fmt.Fprintf(e.stderr, "%s is up to date\n", lock.Name)
		}
		return nil
	}
	if e.flags.dryRun {
		return nil
	}
	return fresh.WriteFile(lockPath(p))
}

// changeLine is one difference: what came, went or moved on.
func changeLine(c lock.Change) string {
	ref := image.FamiliarString(c.Ref)
	switch c.Kind {
	case lock.Added:
		return "+ " + ref + " " + shortPin(c.New.Digest)
	case lock.Removed:
		return "- " + ref + " " + shortPin(c.Old.Digest)
	}
	line := "~ " + ref + " " + shortPin(c.Old.Digest) + " -> " + shortPin(c.New.Digest)
	if len(c.Platforms) > 0 {
		line += " (" + strings.Join(c.Platforms, ", ") + ")"
	}
	return line
}

// shortPin is a digest as lists show it.
func shortPin(d string) string { return "sha256:" + shortID(d) }
