package manage

import (
	"errors"
	"strings"

	"github.com/opencontainers/go-digest"

	"devstack/engine/image"
	"devstack/engine/image/store"
)

// Name is the name under which the store has what ref stands for.
func Name(s *store.Store, ref string) (string, error) {
	e, err := find(s, ref, "")
	return e.Ref, err
}

// find is the entry that a name, an ID or the beginning of one stands for. A name that the store has
// only with a digest, as lock files pin them, is what came last under it:
// lists show such an image by its name alone.
func find(s *store.Store, ref, platform string) (store.Entry, error) {
	e, err := s.Find(ref, platform)
	if !errors.Is(err, store.ErrNotFound) {
		return e, err
	}
	r, perr := image.ParseReference(ref)
	if perr != nil || r.Transport != image.Docker {
		return e, err
	}
	if r.Digest != "" {
		if e, derr := withDigest(s, r, platform); !errors.Is(derr, store.ErrNotFound) {
			return e, derr
		}
		return e, err
	}
	entries, lerr := s.Entries()
	if lerr != nil {
		return e, lerr
	}
	var last store.Entry
	for _, o := range entries {
		if strings.HasPrefix(o.Ref, r.String()+"@") && !o.Added.Before(last.Added) {
			last = o
		}
	}
	if last.Ref == "" {
		if e, ferr := byShortID(s, ref, platform); !errors.Is(ferr, store.ErrNotFound) {
			return e, ferr
		}
		return e, err
	}
	return s.Find(last.Ref, platform)
}

// byShortID is the image whose ID alone begins like this. The store itself asks
// for 12 digits: a Dockerfile's FROM should not mean an image by chance.
func byShortID(s *store.Store, ref, platform string) (store.Entry, error) {
	if len(ref) >= 12 || strings.Trim(ref, "0123456789abcdef") != "" {
		return store.Entry{}, store.ErrNotFound
	}
	entries, err := s.Entries()
	if err != nil {
		return store.Entry{}, err
	}
	var found digest.Digest
	for _, e := range entries {
		img, err := s.Describe(e)
		switch {
		case err != nil || !strings.HasPrefix(img.ID.Encoded(), ref) || img.ID == found:
		case found != "":
			return store.Entry{}, &image.Error{
				Ref: ref, Op: "find", Err: errors.New("several IDs begin like this"), Hint: "give more of its digits",
			}
		default:
			found = img.ID
		}
	}
	if found == "" {
		return store.Entry{}, store.ErrNotFound
	}
	return s.Find(string(found), platform)
}

// withDigest is an image of this repository that has the digest, whatever the
// tag: lists show the two beside each other.
func withDigest(s *store.Store, r image.Reference, platform string) (store.Entry, error) {
	e, err := s.FindDigest(r.Digest, platform)
	if err != nil {
		return e, err
	}
	entries, err := s.Entries()
	if err != nil {
		return e, err
	}
	for _, o := range entries {
		name, err := image.ParseReference(o.Ref)
		if err == nil && name.Repository() == r.Repository() && o.Manifest.Digest == e.Manifest.Digest {
			return o, nil
		}
	}
	return e, store.ErrNotFound
}
