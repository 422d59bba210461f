package manage

import (
	"context"
	"fmt"
	"slices"
	"time"

	"devstack/engine/image"
	"devstack/engine/image/store"
)

// Tag gives the image that src names (or its ID) the name dst too, for every
// platform it is here for. An image that had that name loses it.
func Tag(ctx context.Context, s *store.Store, src, dst string) error {
	end, err := s.Begin(ctx) // the image must not be collected meanwhile
	if err != nil {
		return err
	}
	defer end()
	r, err := tagName(dst)
	if err != nil {
		return err
	}
	found, err := matching(s, src, "")
	if err != nil {
		return fmt.Errorf("tag image: %w", err)
	}
	for i := range found {
		found[i].Ref, found[i].Stamp, found[i].Added = r, "", time.Time{}
	}
	return s.Set(ctx, found...)
}

// tagName is the canonical form of a name that an image can be given.
func tagName(s string) (string, error) {
	r, err := image.ParseReference(s)
	if err != nil {
		return "", err
	}
	if r.Transport != image.Docker || r.Digest != "" {
		return "", fmt.Errorf("%q is no name for an image (want [registry/]name[:tag])", s)
	}
	if r.Repository() == "docker.io/library/sha256" {
		return "", fmt.Errorf("%q looks like an image ID: a name for an image cannot be sha256 alone", s)
	}
	return r.String(), nil
}

// matching are the entries that a name or ID stands for: with a platform, the
// best for that one.
func matching(s *store.Store, ref, platform string) ([]store.Entry, error) {
	e, err := find(s, ref, platform)
	if err != nil || platform != "" {
		return []store.Entry{e}, err
	}
	entries, err := s.Entries()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(entries, func(o store.Entry) bool { return o.Ref != e.Ref }), nil
}
