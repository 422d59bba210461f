package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"devstack/engine/image"
	"devstack/engine/image/store"
)

// RemoveOptions of Remove; the zero value is ready.
type RemoveOptions struct {
	// Force removes all names of an ID, and images of stopped containers:
	// those go on working, their layers stay until they are removed. An image
	// that is not there is no error then.
	Force bool
}

// Removed says what a removal has done.
type Removed struct {
	Untagged  []string        // canonical names
	Deleted   []digest.Digest // IDs of images that no name is left of
	Missing   []error         // with Force: what was not there
	Collected store.Collected
}

// InUseError says that an image cannot be removed because of containers.
type InUseError struct {
	Ref        string
	Containers []string
	Running    bool
}

func (e *InUseError) Error() string {
	state := "the stopped container"
	if e.Running {
		state = "the running container"
	}
	if len(e.Containers) > 1 {
		state += "s"
	}
	return "it is used by " + state + " " + strings.Join(e.Containers, ", ")
}

// Remove takes images, given by names or IDs, out of the store: a name of
// several goes alone, with the last one the content goes too. It goes on after
// an image that cannot be removed; the error tells all of them.
func Remove(ctx context.Context, s *store.Store, use InUse, refs []string, o RemoveOptions) (Removed, error) {
	containers, err := use.containers()
	if err != nil {
		return Removed{}, fmt.Errorf("remove images: list containers: %w", err)
	}
	var out Removed
	var errs []error
	for _, ref := range refs {
		gone, err := removeOne(ctx, s, containers, ref, o)
		if o.Force && errors.Is(err, store.ErrNotFound) {
			out.Missing = append(out.Missing, err)
			continue
		}
		out.add(gone)
		errs = append(errs, err)
	}
	if len(out.Untagged)+len(out.Deleted) == 0 {
		return out, errors.Join(errs...)
	}
	out.Collected, err = Collect(ctx, s, use)
	return out, errors.Join(append(errs, err)...)
}

func (r *Removed) add(o Removed) {
	r.Untagged, r.Deleted = append(r.Untagged, o.Untagged...), append(r.Deleted, o.Deleted...)
}

func removeOne(ctx context.Context, s *store.Store, containers []Container, ref string, o RemoveOptions) (Removed, error) {
	e, err := find(s, ref, "")
	if err != nil {
		return Removed{}, err
	}
	entries, err := s.Entries()
	if err != nil {
		return Removed{}, err
	}
	match := func(x store.Entry) bool { return x.Ref == e.Ref }
	if byID := !e.Unnamed() && !isName(ref, e); byID {
		match = func(x store.Entry) bool { return x.Manifest.Digest == e.Manifest.Digest }
		if names := namesOf(entries, match); len(names) > 1 && !o.Force {
			return Removed{}, &image.Error{
				Ref: ref, Op: "remove", Err: fmt.Errorf("it has several names: %s", strings.Join(names, ", ")),
				Hint: "remove it by name, or all of them with --force",
			}
		}
	}
	orphans := orphansOf(s, entries, match)
	for _, img := range orphans {
		if err := checkUnused(img, ref, containers, o.Force); err != nil {
			return Removed{}, err
		}
	}
	return drop(ctx, s, match, orphans)
}

func isName(ref string, e store.Entry) bool {
	r, err := image.ParseReference(ref)
	return err == nil && (r.String() == e.Ref || strings.HasPrefix(e.Ref, r.String()+"@"))
}

func namesOf(entries []store.Entry, match func(store.Entry) bool) []string {
	var names []string
	for _, e := range entries {
		if match(e) {
			names = append(names, image.FamiliarString(e.Ref))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// orphansOf are the images that no name is left of once those that match
// go.
func orphansOf(s *store.Store, entries []store.Entry, match func(store.Entry) bool) []image.Image {
	stays := map[digest.Digest]bool{}
	for _, e := range entries {
		if !match(e) {
			stays[e.Manifest.Digest] = true
		}
	}
	var orphans []image.Image
	for _, e := range entries {
		if !match(e) || stays[e.Manifest.Digest] {
			continue
		}
		stays[e.Manifest.Digest] = true
		img, err := s.Describe(e)
		if err != nil { // damaged: it may go in any case
			img = image.Image{Ref: e.Ref, Manifest: e.Manifest.Digest}
		}
		orphans = append(orphans, img)
	}
	return orphans
}

func checkUnused(img image.Image, ref string, containers []Container, force bool) error {
	in := &InUseError{Ref: ref}
	for _, c := range containers {
		if !uses(c, img) {
			continue
		}
		if c.Running && !in.Running {
			in.Running, in.Containers = true, nil
		}
		if c.Running == in.Running {
			in.Containers = append(in.Containers, c.Name)
		}
	}
	if in.Containers == nil || force && !in.Running {
		return nil
	}
	hint := "stop and remove them first"
	if !in.Running {
		hint = "remove them first, or use --force: they keep their layers"
	}
	return &image.Error{Ref: ref, Op: "remove", Err: in, Hint: hint}
}

func uses(c Container, img image.Image) bool {
	return c.Image.Root == "" && c.Image.Manifest == img.Manifest
}

func drop(ctx context.Context, s *store.Store, match func(store.Entry) bool, orphans []image.Image) (Removed, error) {
	gone, err := s.Drop(ctx, match)
	if err != nil {
		return Removed{}, fmt.Errorf("remove image: %w", err)
	}
	var out Removed
	for _, e := range gone {
		if !e.Unnamed() && !slices.Contains(out.Untagged, e.Ref) {
			out.Untagged = append(out.Untagged, e.Ref)
		}
	}
	for _, img := range orphans {
		if img.ID != "" {
			out.Deleted = append(out.Deleted, img.ID)
		}
	}
	return out, nil
}
