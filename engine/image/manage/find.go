package manage

import (
	"errors"
	"strings"

	"devstack/engine/image"
	"devstack/engine/image/store"
)

// Name is the name under which the store has what ref stands for.
func Name(s *store.Store, ref string) (string, error) {
	e, err := find(s, ref, "")
	return e.Ref, err
}

// find is the entry that a name or ID stands for. A name that the store has
// only with a digest, as lock files pin them, is what came last under it:
// lists show such an image by its name alone.
func find(s *store.Store, ref, platform string) (store.Entry, error) {
	e, err := s.Find(ref, platform)
	if !errors.Is(err, store.ErrNotFound) {
		return e, err
	}
	r, perr := image.ParseReference(ref)
	if perr != nil || r.Transport != image.Docker || r.Digest != "" {
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
		return e, err
	}
	return s.Find(last.Ref, platform)
}
